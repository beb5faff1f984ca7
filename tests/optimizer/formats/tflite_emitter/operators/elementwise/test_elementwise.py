"""What treats each element alone: which operators it becomes, what moves no data, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.errors import PassFailed, UnsupportedOperator
from optimizer.formats.tflite_emitter import emit
from tests.optimizer.formats.onnx_graphs import emitted, graph, node, operators, weights
from tests.optimizer.formats.tflite_emitter.answers import check_case
from tests.optimizer.formats.tflite_emitter.cases.standing import Side, Use, case_of, integers, normal, positive

IMAGE = (1, 3, 6, 5)
CHANNEL_LAST = (0, 3, 1, 2)


def written(use: Use) -> dict[str, int]:
    """Return how often each operator stands in the file, after it answered as the original does."""
    result = check_case(case_of(use))
    assert result is not None
    return dict(operators(result))


def exponent(number: float) -> Side:
    """Return a constant exponent."""
    return Side(shape=(), values=lambda _, shape: np.full(shape, number, dtype=np.float32), constant=True)


@pytest.mark.parametrize(
    ("power", "operator"),
    [(2.0, "MUL"), (0.5, "SQRT"), (-0.5, "RSQRT"), (-1.0, "DIV"), (1.7, "POW")],
)
def test_a_power_that_is_a_product_or_a_root_is_written_as_one(power: float, operator: str) -> None:
    use = Use(op="Pow", sides=(Side(shape=IMAGE, values=positive), exponent(power)), opset=18)

    assert written(use) == {operator: 1}


def test_the_negative_of_floats_is_a_product_which_can_be_quantized() -> None:
    floats = Use(op="Neg", sides=(Side(shape=IMAGE, values=normal),), opset=18)
    whole = Use(op="Neg", sides=(Side(shape=IMAGE, values=integers("int64")),), opset=18)

    assert written(floats) == {"MUL": 1}
    assert written(whole) == {"NEG": 1}


def test_nothing_is_moved_for_two_channel_last_images_and_a_constant_by_channel() -> None:
    image = Side(shape=IMAGE, values=normal, turned=CHANNEL_LAST)
    channels = Side(shape=(3, 1, 1), values=normal, constant=True, rows=False)
    parts = (
        node("Transpose", "a", "b", perm=CHANNEL_LAST),
        node("Transpose", "c", "d", perm=CHANNEL_LAST),
        node("Add", "b d", "e"),
        node("Mul", "e f", "g"),
        node("Transpose", "g", "y", perm=(0, 2, 3, 1)),
    )

    result = emitted(graph(*parts, inputs={"a": (1, 6, 5, 3), "c": (1, 6, 5, 3)}, constants={"f": weights(3, 1, 1)}))

    assert operators(result) == {"ADD": 1, "MUL": 1}
    assert written(Use(op="Sum", sides=(image, image, channels), opset=18))["ADD"] == 2


def test_a_side_of_lower_rank_is_broadcast_as_it_is() -> None:
    sides = (Side(shape=IMAGE, values=normal), Side(shape=(6, 5), values=normal, rows=False))

    assert written(Use(op="Sub", sides=sides, opset=18)) == {"SUB": 1}


def test_the_smaller_of_two_sides_is_moved_where_their_orders_differ() -> None:
    turn, back = (0, 4, 1, 2, 3), (0, 2, 3, 4, 1)
    parts = (node("Transpose", "a", "b", perm=turn), node("Add", "b c", "s"), node("Transpose", "s", "y", perm=back))

    result = emitted(graph(*parts, inputs={"a": (1, 4, 5, 6, 3), "c": (1, 3, 1, 5, 1)}))

    assert operators(result) == {"TRANSPOSE": 1, "ADD": 1}


def test_the_columns_of_flattened_images_stay_as_they_lie_beside_equal_ones() -> None:
    parts = (
        node("Conv", "x w", "c"),
        node("Flatten", "c", "f"),
        node("Sigmoid", "f", "g"),
        node("Mul", "f g", "h"),
        node("Max", "h k", "i"),
        node("Gemm", "i v", "y"),
    )
    constants = {"w": weights(4, 3, 3, 3), "v": weights(48, 2), "k": weights(48)}

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=constants))

    assert operators(result) == {
        "CONV_2D": 1,
        "RESHAPE": 1,
        "LOGISTIC": 1,
        "MUL": 1,
        "MAXIMUM": 1,
        "FULLY_CONNECTED": 1,
    }


def test_a_sum_of_rank_six_broadcasts() -> None:
    sides = (Side(shape=(1, 2, 3, 2, 3, 2), values=normal), Side(shape=(3, 1, 3, 1), values=normal, rows=False))

    assert written(Use(op="Add", sides=sides, opset=18)) == {"ADD": 1}


def test_large_whole_numbers_are_added_as_they_are() -> None:
    large = integers("int64", 1 << 60, (1 << 60) + 1000)
    use = Use(op="Add", sides=(Side(shape=(1, 7), values=large), Side(shape=(1, 7), values=large)), opset=18)

    assert written(use) == {"ADD": 1}


def test_places_in_a_tensor_are_divided_but_other_int64_is_refused() -> None:
    places = (node("ArgMax", "x", "p", axis=1), node("Div", "p n", "q"), node("Cast", "q", "y", to=1))
    others = (node("Cast", "x", "p", to=7), node("Div", "p n", "q"), node("Cast", "q", "y", to=1))
    constants: dict[str, Any] = {"n": np.asarray(3, dtype=np.int64)}

    result = emitted(graph(*places, inputs={"x": (1, 9)}, constants=constants))

    assert operators(result)["DIV"] == 1
    with pytest.raises(UnsupportedOperator, match="int64"):
        emit(graph(*others, inputs={"x": (1, 9)}, constants=constants))


def test_half_floats_are_refused() -> None:
    parts = (node("Cast", "x", "h", to=10), node("Cast", "h", "y", to=1))

    with pytest.raises(PassFailed, match="float16"):
        emit(graph(*parts, inputs={"x": (1, 9)}))


def test_an_image_is_clipped_to_bounds_that_are_computed() -> None:
    bound = Side(shape=(), values=lambda _, shape: np.full(shape, -0.5, dtype=np.float32), rows=False)
    use = Use(op="Clip", sides=(Side(shape=IMAGE, values=normal), bound), opset=18)

    assert written(use) == {"MAXIMUM": 1}


def test_one_slope_for_all_channels_is_a_leaky_relu() -> None:
    one = Use(op="PRelu", sides=(Side(shape=IMAGE, values=normal), exponent(0.25)), opset=18)
    channels = Side(shape=(3, 1, 1), values=normal, constant=True, rows=False)
    each = Use(op="PRelu", sides=(Side(shape=IMAGE, values=normal), channels), opset=18)

    assert written(one) == {"LEAKY_RELU": 1}
    assert written(each) == {"PRELU": 1}


def test_elu_of_any_slope_is_at_most_two_operators() -> None:
    image = (Side(shape=IMAGE, values=normal),)

    assert written(Use(op="Elu", sides=image, opset=18)) == {"ELU": 1}
    assert written(Use(op="Elu", sides=image, opset=18, attributes={"alpha": 0.5})) == {"ELU": 1, "LEAKY_RELU": 1}
    assert written(Use(op="Selu", sides=image, opset=18)) == {"ELU": 1, "LEAKY_RELU": 1, "MUL": 1}


def test_softplus_of_large_values_does_not_overflow() -> None:
    large = Side(shape=(1, 50), values=lambda random, shape: np.asarray(200 * normal(random, shape)))

    assert written(Use(op="Softplus", sides=(large,), opset=18))["LOG"] == 1
