"""What goes over whole axes: nothing is moved for it, and what leaves the batch open stays open."""

from __future__ import annotations

import numpy as np
import pytest

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights
from tests.optimizer.formats.tflite_emitter.answers import check_case
from tests.optimizer.formats.tflite_emitter.cases.standing import Side, Use, case_of, halves, normal

IMAGE = (1, 3, 6, 5)
TURNED = Side(shape=IMAGE, values=normal, turned=(0, 3, 1, 2))


def written(use: Use) -> dict[str, int]:
    """Return how often each operator stands in the file, after it answered as the original does."""
    result = check_case(case_of(use))
    assert result is not None
    return dict(operators(result))


@pytest.mark.parametrize("axes", [(1,), (-1,), (2, 3), (1, 2, 3), (0, 2)])
def test_a_channel_last_image_is_summed_over_any_axes_where_it_lies(axes: tuple[int, ...]) -> None:
    use = Use(op="ReduceSum", sides=(TURNED,), opset=18, attributes={"keepdims": 0}, parameters=(np.asarray(axes),))

    assert written(use).get("SUM") == 1


def test_the_sum_of_a_flattened_image_needs_no_order() -> None:
    parts = (node("Conv", "x w", "c"), node("Flatten", "c", "f"), node("ReduceMax", "f a", "y", keepdims=1))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants={"w": weights(4, 3, 3, 3), "a": numbers(1)}))

    assert operators(result) == {"CONV_2D": 1, "RESHAPE": 1, "REDUCE_MAX": 1}


def test_the_mean_over_an_image_takes_it_as_it_lies() -> None:
    plain = Use(op="GlobalAveragePool", sides=(Side(shape=IMAGE, values=normal),), opset=18)

    assert written(plain) == {"MEAN": 1}
    assert written(Use(op="GlobalAveragePool", sides=(TURNED,), opset=18))["MEAN"] == 1


def test_the_largest_of_a_convolution_is_one_window_which_can_be_quantized() -> None:
    parts = (node("Conv", "x w", "c"), node("GlobalMaxPool", "c", "g"), node("Flatten", "g", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants={"w": weights(4, 3, 3, 3)}))

    assert operators(result)["MAX_POOL_2D"] == 1


def test_the_logarithm_of_a_sum_of_exponentials_does_not_overflow() -> None:
    large = Side(shape=(1, 40), values=lambda random, shape: np.asarray(100 * normal(random, shape)))
    use = Use(op="ReduceLogSumExp", sides=(large,), opset=18, parameters=(np.asarray((1,)),))

    assert written(use) == {"REDUCE_MAX": 1, "SUB": 1, "EXP": 1, "SUM": 1, "LOG": 1, "ADD": 1}


@pytest.mark.parametrize("last", [0, 1])
def test_of_equals_the_first_or_the_last_is_found(last: int) -> None:
    attributes = {"axis": 1, "select_last_index": last, "keepdims": 0}
    use = Use(op="ArgMax", sides=(Side(shape=(1, 40, 3), values=halves),), opset=18, attributes=attributes)

    assert written(use).get("REVERSE_V2", 0) == last


def test_the_last_of_equals_along_the_batch_fixes_it() -> None:
    attributes = {"axis": 0, "select_last_index": 1}
    use = Use(op="ArgMin", sides=(Side(shape=(1, 4), values=halves),), opset=18, attributes=attributes)

    result = check_case(case_of(use))

    assert result is not None
    assert "fixed batch" in result.fixed_batch


def test_an_old_hardmax_finds_the_first_in_the_order_of_onnx() -> None:
    image = Side(shape=(1, 4, 3, 2), values=halves, turned=(0, 3, 1, 2))
    use = Use(op="Hardmax", sides=(image,), opset=11, attributes={"axis": 1})

    assert written(use)["ONE_HOT"] == 1


def test_an_old_softmax_goes_over_all_axes_from_its_own_on() -> None:
    use = Use(op="Softmax", sides=(Side(shape=IMAGE, values=normal),), opset=11, attributes={"axis": 1})

    assert written(use) == {"RESHAPE": 2, "SOFTMAX": 1}


def test_an_old_softmax_over_the_channels_of_one_pixel_is_one_operator() -> None:
    use = Use(op="Softmax", sides=(Side(shape=(1, 7, 1, 1), values=normal),), opset=11, attributes={"axis": 1})

    assert written(use)["SOFTMAX"] == 1


def test_the_softmax_of_flattened_columns_moves_nothing() -> None:
    parts = (
        node("Conv", "x w", "c"),
        node("Flatten", "c", "f"),
        node("Softmax", "f", "s", axis=1),
        node("Gemm", "s v", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants={"w": weights(4, 3, 3, 3), "v": weights(48, 2)}))

    assert operators(result) == {"CONV_2D": 1, "RESHAPE": 1, "SOFTMAX": 1, "FULLY_CONNECTED": 1}


def test_one_stands_at_the_first_of_the_largest() -> None:
    use = Use(op="Hardmax", sides=(Side(shape=(1, 5, 9), values=halves),), opset=18, attributes={"axis": -1})

    assert written(use) == {"ARG_MAX": 1, "ONE_HOT": 1}
