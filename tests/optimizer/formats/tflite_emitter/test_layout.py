"""Nothing is moved that need not be: layouts are propagated, activations and normalizations folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from optimizer.formats.tflite_emitter.layout import Value, arranged, channel_last, flattened_columns, keeps_order
from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE = (1, 3, 8, 8)
NORMALIZATION: dict[str, Any] = {
    f"{name}4": weights(4, seed=place) ** 2 + 1 for place, name in enumerate(("g", "b", "m", "v"))
}


def test_a_flattened_image_reaches_the_matrix_without_a_transpose() -> None:
    parts = (
        node("Conv", "x w", "c"),
        node("Relu", "c", "r"),
        node("Flatten", "r", "f"),
        node("Gemm", "f v", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants={"w": weights(4, 3, 3, 3), "v": weights(144, 5)}))

    assert operators(result) == {"CONV_2D": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1}


def test_what_needs_the_original_order_of_a_flattened_image_gets_it() -> None:
    parts = (
        node("Conv", "x w", "c"),
        node("Flatten", "c", "f"),
        node("Mul", "f v", "m"),
        node("Concat", "m f", "y", axis=1),
    )

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants={"w": weights(4, 3, 3, 3), "v": weights(144)}))

    assert operators(result)["GATHER"] == 1


def test_normalization_and_relu6_disappear_into_the_convolution() -> None:
    parts = (
        node("Conv", "x w", "c"),
        node("BatchNormalization", "c g4 b4 m4 v4", "n"),
        node("Clip", "n low high", "a"),
        node("GlobalAveragePool", "a", "y"),
    )
    bounds: dict[str, NDArray[Any]] = {"low": np.asarray(0, dtype=np.float32), "high": np.asarray(6, dtype=np.float32)}
    constants: dict[str, NDArray[Any]] = {"w": weights(4, 3, 3, 3), **NORMALIZATION, **bounds}

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=constants))

    assert operators(result) == {"CONV_2D": 1, "MEAN": 1, "RESHAPE": 1}


def test_a_value_that_is_read_twice_is_not_folded_away() -> None:
    parts = (
        node("Conv", "x w", "c"),
        node("Relu", "c", "r"),
        node("Add", "c r", "s"),
        node("GlobalAveragePool", "s", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants={"w": weights(4, 3, 3, 3)}))

    assert operators(result)["RELU"] == 1


def test_a_model_that_turns_its_own_image_takes_it_as_it_is() -> None:
    parts = (
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w", "c"),
        node("Transpose", "c", "y", perm=[0, 2, 3, 1]),
    )

    result = emitted(graph(*parts, inputs={"x": (1, 8, 8, 3)}, constants={"w": weights(4, 3, 3, 3)}))

    assert operators(result) == {"CONV_2D": 1}
    assert result.channel_last == frozenset()


def test_patches_become_tokens_by_one_reshape() -> None:
    parts = (
        node("Conv", "x w", "c", strides=[4, 4]),
        node("Reshape", "c s", "p"),
        node("Transpose", "p", "t", perm=[0, 2, 1]),
        node("MatMul", "t v", "m"),
        node("Add", "m b", "y"),
    )
    constants: dict[str, NDArray[Any]] = {
        "w": weights(6, 3, 4, 4),
        "s": numbers(0, 6, -1),
        "v": weights(6, 5),
        "b": weights(5),
    }

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=constants))

    assert operators(result) == {"CONV_2D": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1}


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_mixer_turns_its_tokens_there_and_back_in_each_block_and_nowhere_else(blocks: int) -> None:
    start = (node("Conv", "x w", "c", strides=[2, 2]), node("Reshape", "c s", "r"))
    mixing = [part for place in range(blocks) for part in mixing_block(f"t{place}", f"t{place + 1}")]
    end = node("ReduceMean", f"t{blocks} axis", "y", keepdims=0)
    constants: dict[str, NDArray[Any]] = {"s": numbers(0, 8, -1), "axis": numbers(1), "w": weights(8, 3, 2, 2)}
    mixers = {"across": weights(16, 16), "within": weights(8, 8)}

    result = emitted(
        graph(
            *start,
            node("Transpose", "r", "t0", perm=[0, 2, 1]),
            *mixing,
            end,
            inputs={"x": IMAGE},
            constants=constants | mixers,
        )
    )

    assert operators(result)["TRANSPOSE"] == 2 * blocks


def test_shape_arithmetic_on_the_batch_is_folded() -> None:
    parts = (
        node("Shape", "x", "sizes"),
        node("Gather", "sizes zero", "batch", axis=0),
        node("Concat", "batch rest", "target", axis=0),
        node("Reshape", "x target", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": (1, 4, 6)}, constants={"zero": numbers(0), "rest": numbers(24)}))

    assert operators(result) == {"RESHAPE": 1}


def test_flattened_columns_say_where_each_logical_column_lies() -> None:
    value = Value(tensor=0, shape=(1, 2, 1, 3), axes=channel_last(4))

    columns = flattened_columns(value)

    assert columns.tolist() == [0, 3, 1, 4, 2, 5]


def test_moving_axes_of_size_one_moves_no_data() -> None:
    assert keeps_order((1, 1, 8, 8), (0, 1, 2, 3), channel_last(4))
    assert not keeps_order((1, 2, 8, 8), (0, 1, 2, 3), channel_last(4))


def test_a_line_is_stored_as_an_image_of_height_one() -> None:
    assert arranged((1, 6, 20), channel_last(3)) == (1, 1, 20, 6)


def mixing_block(given: str, made: str) -> tuple[Any, ...]:
    """Return a block that mixes tokens, then channels, each added to what was given."""
    return (
        node("Transpose", given, f"{made}/turned", perm=[0, 2, 1]),
        node("MatMul", f"{made}/turned across", f"{made}/product"),
        node("Tanh", f"{made}/product", f"{made}/mixed"),
        node("Transpose", f"{made}/mixed", f"{made}/back", perm=[0, 2, 1]),
        node("Add", f"{given} {made}/back", f"{made}/tokens"),
        node("MatMul", f"{made}/tokens within", f"{made}/fed"),
        node("Tanh", f"{made}/fed", f"{made}/bent"),
        node("Add", f"{made}/tokens {made}/bent", made),
    )
