"""Axes that are moved to make pixels of channels, or channels of pixels, are one operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

Constants = dict[str, "NDArray[Any]"]

CONVOLUTION = node("Conv", "image kernel bias", "x")
KERNEL = {"kernel": weights(12, 3, 3, 3), "bias": weights(12)}


@pytest.mark.parametrize(
    ("split", "order"),
    [((0, 3, 2, 2, 6, 6), [0, 1, 4, 2, 5, 3]), ((0, 2, 2, 3, 6, 6), [0, 3, 4, 1, 5, 2])],
)
def test_pixels_spelled_out_are_one_operator(split: tuple[int, ...], order: list[int]) -> None:
    parts = (
        node("Reshape", "x split", "six"),
        node("Transpose", "six", "turned", perm=order),
        node("Reshape", "turned merged", "y"),
    )
    constants: Constants = {**KERNEL, "split": numbers(*split), "merged": numbers(0, 3, 12, 12)}

    result = emitted(graph(CONVOLUTION, *parts, inputs={"image": (1, 3, 8, 8)}, constants=constants))

    assert operators(result) == {"CONV_2D": 1, "DEPTH_TO_SPACE": 1, "TRANSPOSE": 1}


@pytest.mark.parametrize(("groups", "code"), [(1, "SPACE_TO_DEPTH"), (2, "RESHAPE")])
def test_channels_from_pixels_are_one_operator_where_the_convolution_takes_any_order(groups: int, code: str) -> None:
    parts = (
        node("Reshape", "x split", "six"),
        node("Transpose", "six", "turned", perm=[0, 1, 3, 5, 2, 4]),
        node("Reshape", "turned merged", "channels"),
        node("Conv", "channels kernel", "y", group=groups),
    )
    constants: Constants = {
        "split": numbers(0, 3, 4, 2, 4, 2),
        "merged": numbers(0, 12, 4, 4),
        "kernel": weights(4, 12 // groups, 3, 3),
    }

    result = emitted(graph(*parts, inputs={"x": (1, 3, 8, 8)}, constants=constants))

    assert operators(result)[code] >= 1


def test_axes_moved_for_something_else_stay_as_they_are() -> None:
    parts = (
        node("Reshape", "x split", "six"),
        node("Transpose", "six", "turned", perm=[0, 1, 4, 2, 5, 3]),
        node("Reshape", "turned merged", "y"),
    )
    constants: Constants = {**KERNEL, "split": numbers(0, 4, 3, 1, 6, 6), "merged": numbers(0, 4, 18, 6)}

    result = emitted(graph(CONVOLUTION, *parts, inputs={"image": (1, 3, 8, 8)}, constants=constants))

    assert operators(result)["DEPTH_TO_SPACE"] == 0
