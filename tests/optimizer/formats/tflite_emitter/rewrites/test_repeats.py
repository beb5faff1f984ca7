"""What broadcasting repeats anyway is not repeated, reshapes of reshapes are one, rows are joined without a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


def joined(*order: str, after: bool = False) -> bytes:
    """Return tokens joined with rows that each sample gets, in that order; with places added where ``after``."""
    parts = [
        node("Shape", "x", "n", end=1),
        node("Concat", "n rest", "target", axis=0),
        node("Expand", "first target", "a"),
        node("Expand", "last target", "b"),
        node("Concat", " ".join(order), "all" if after else "y", axis=-2),
    ]
    parts += [node("Add", "all places", "y")] if after else []
    constants: dict[str, NDArray[Any]] = {
        "rest": numbers(1, 4),
        "first": weights(1, 1, 4),
        "last": weights(1, 1, 4, seed=1),
        "places": weights(len(order) + 4, 4, seed=2),
    }
    return graph(*parts, inputs={"x": (1, 5, 4)}, constants=constants)


@pytest.mark.parametrize("order", [("a", "x"), ("x", "a"), ("a", "x", "b"), ("a", "b", "x")])
def test_rows_before_and_after_the_tokens_are_padded_in(order: tuple[str, ...]) -> None:
    assert operators(emitted(joined(*order))) == {"PAD": 1, "ADD": 1}


def test_places_that_are_added_anyway_take_the_rows_up() -> None:
    assert operators(emitted(joined("a", "x", after=True))) == {"PAD": 1, "ADD": 1}


def test_two_computed_values_with_a_row_between_them_fix_the_batch() -> None:
    result = emitted(joined("x", "a", "x"))

    assert "repeated along the batch" in result.fixed_batch
    assert operators(result) == {"CONCATENATION": 1}


def test_an_expand_before_an_operator_that_broadcasts_is_dropped() -> None:
    parts = (node("Relu", "x", "r"), node("Expand", "r s", "e"), node("Mul", "e b", "y"))
    inputs: dict[str, tuple[int, ...]] = {"x": (1, 3, 1), "b": (1, 3, 5)}

    result = emitted(graph(*parts, inputs=inputs, constants={"s": numbers(1, 3, 5)}))

    assert operators(result) == {"RELU": 1, "MUL": 1}


def test_an_expand_that_alone_makes_the_result_larger_stays() -> None:
    parts = (node("Relu", "x", "r"), node("Expand", "r s", "e"), node("Mul", "e c", "y"))
    constants: dict[str, NDArray[Any]] = {"s": numbers(1, 3, 5), "c": np.full(1, 2, np.float32)}

    result = emitted(graph(*parts, inputs={"x": (1, 3, 1)}, constants=constants))

    assert sum(operators(result).values()) == 3


def test_reshapes_in_a_row_are_one_even_over_an_image() -> None:
    parts = (
        node("Conv", "x w", "c"),
        node("Flatten", "c", "f"),
        node("Unsqueeze", "f one", "u"),
        node("Reshape", "u image", "i"),
        node("Conv", "i v", "d"),
        node("ReduceMean", "d axes", "y", keepdims=0),
    )
    constants: dict[str, NDArray[Any]] = {
        "w": weights(4, 3, 3, 3),
        "v": weights(2, 4, 3, 3),
        "one": numbers(1),
        "image": numbers(-1, 4, 6, 6),
        "axes": numbers(2, 3),
    }

    result = emitted(graph(*parts, inputs={"x": (1, 3, 8, 8)}, constants=constants))

    assert operators(result) == {"CONV_2D": 2, "MEAN": 1}
