"""Formulas of activations, clips and constant sums and products: as few operators as TFLite can say them in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, operators, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE = (1, 4, 6, 5)
KERNEL = {"w": weights(4, 4, 3, 3)}
CHANNELS = {"s": weights(4, 1, 1, seed=1), "t": weights(4, 1, 1, seed=2)}


def scalar(number: float) -> NDArray[Any]:
    """Return a float32 constant of rank 0."""
    return np.asarray(number, dtype=np.float32)


NUMBERS = {
    "zero": scalar(0),
    "one": scalar(1),
    "three": scalar(3),
    "four": scalar(4),
    "six": scalar(6),
    "sixth": scalar(1 / 6),
}
HARD_SWISHES: dict[str, tuple[Any, ...]] = {
    "the product, divided": (
        node("Add", "x three", "a"),
        node("Clip", "a zero six", "b"),
        node("Mul", "x b", "c"),
        node("Div", "c six", "y"),
    ),
    "the clip, divided": (
        node("Add", "three x", "a"),
        node("Clip", "a zero six", "b"),
        node("Div", "b six", "c"),
        node("Mul", "c x", "y"),
    ),
    "the value, times a sixth": (
        node("Add", "x three", "a"),
        node("Relu", "a", "r"),
        node("Min", "r six", "b"),
        node("Mul", "sixth x", "c"),
        node("Mul", "c b", "y"),
    ),
    "a hard sigmoid": (node("HardSigmoid", "x", "a", alpha=1 / 6, beta=0.5), node("Mul", "a x", "y")),
}


@pytest.mark.parametrize("name", HARD_SWISHES)
def test_a_hard_swish_is_one_operator_however_it_is_spelled(name: str) -> None:
    result = emitted(graph(*HARD_SWISHES[name], inputs={"x": IMAGE}, constants=NUMBERS))

    assert operators(result) == {"HARD_SWISH": 1}


def test_another_slope_than_a_sixth_is_no_hard_swish() -> None:
    parts = (node("HardSigmoid", "x", "a", alpha=0.2, beta=0.5), node("Mul", "a x", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}))

    assert operators(result) == {"MUL": 3, "ADD": 1}


def test_a_clip_that_someone_else_reads_stays_beside_the_hard_swish() -> None:
    parts = (*HARD_SWISHES["the product, divided"], node("Add", "y b", "z"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=NUMBERS, outputs="z"))

    assert operators(result) == {"HARD_SWISH": 1, "ADD": 2}


def test_x_times_the_tangent_of_softplus_is_five_operators() -> None:
    parts = (node("Softplus", "x", "a"), node("Tanh", "a", "b"), node("Mul", "x b", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}))

    assert operators(result) == {"EXP": 1, "ADD": 1, "LOG": 1, "TANH": 1, "MUL": 1}


def test_both_halves_of_a_prelu_are_one_operator() -> None:
    parts = (
        node("Relu", "x", "a"),
        node("Neg", "x", "b"),
        node("Relu", "b", "c"),
        node("Mul", "s c", "d"),
        node("Add", "a d", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=CHANNELS))

    assert operators(result) == {"PRELU": 1}


def test_a_sum_of_two_has_its_relu_fused() -> None:
    parts = (node("Conv", "x w", "a"), node("Sum", "a b", "c"), node("Relu", "c", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE, "b": (1, 4, 4, 3)}, constants=KERNEL))

    assert operators(result)["RELU"] == 0


def test_a_swish_is_two_operators() -> None:
    parts = (node("Sigmoid", "x", "a"), node("Mul", "x a", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}))

    assert operators(result) == {"LOGISTIC": 1, "MUL": 1}


def test_relu_and_the_smaller_of_six_are_fused_as_one() -> None:
    parts = (node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Min", "b six", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=KERNEL | NUMBERS))

    assert operators(result)["CONV_2D"] == 1
    assert operators(result)["MINIMUM"] == 0


def test_a_clip_from_zero_to_another_number_leaves_its_relu_to_the_convolution() -> None:
    parts = (node("Conv", "x w", "a"), node("Clip", "a zero four", "b"), node("Conv", "b w", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=KERNEL | NUMBERS))

    assert operators(result) == {"CONV_2D": 2, "MINIMUM": 1, "TRANSPOSE": 1}


def test_a_clip_between_zero_and_one_is_one_operator() -> None:
    result = emitted(graph(node("Clip", "x zero one", "y"), inputs={"x": IMAGE}, constants=NUMBERS))

    assert operators(result) == {"RELU_0_TO_1": 1}


def test_a_clip_between_zero_and_one_behind_a_convolution_is_half_fused_and_can_be_quantized() -> None:
    parts = (node("Conv", "x w", "a"), node("Clip", "a zero one", "b"), node("GlobalAveragePool", "b", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=KERNEL | NUMBERS))

    assert operators(result) == {"CONV_2D": 1, "RELU": 1, "MEAN": 1, "RESHAPE": 1}


def test_constant_sums_and_products_behind_a_convolution_vanish_in_it() -> None:
    parts = (
        node("Conv", "x w", "a"),
        node("Mul", "a s", "b"),
        node("Sub", "t b", "c"),
        node("Div", "c six", "d"),
        node("Relu", "d", "e"),
        node("GlobalAveragePool", "e", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=KERNEL | CHANNELS | NUMBERS))

    assert operators(result) == {"CONV_2D": 1, "MEAN": 1, "RESHAPE": 1}


def test_normalization_behind_a_transposed_convolution_vanishes_in_it() -> None:
    parts = (node("ConvTranspose", "x w", "a"), node("Mul", "a s", "b"), node("Add", "b t", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=KERNEL | CHANNELS))

    assert operators(result)["MUL"] == 0


def test_normalization_before_an_unpadded_convolution_vanishes_in_it() -> None:
    parts = (
        node("Sub", "x t", "a"),
        node("Mul", "a s", "b"),
        node("Conv", "b w", "c", strides=[2, 2]),
        node("GlobalAveragePool", "c", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=KERNEL | CHANNELS))

    assert operators(result) == {"CONV_2D": 1, "MEAN": 1, "RESHAPE": 1}


def test_a_factor_but_no_offset_goes_into_a_padded_convolution() -> None:
    padded = {"pads": [1, 1, 1, 1]}
    parts = (node("Mul", "x s", "a"), node("Conv", "a w", "b", **padded), node("GlobalAveragePool", "b", "y"))
    offset = (node("Add", "x t", "a"), node("Conv", "a w", "b", **padded), node("GlobalAveragePool", "b", "y"))

    scaled = emitted(graph(*parts, inputs={"x": IMAGE}, constants=KERNEL | CHANNELS))
    shifted = emitted(graph(*offset, inputs={"x": IMAGE}, constants=KERNEL | CHANNELS))

    assert operators(scaled)["MUL"] == 0
    assert operators(shifted)["ADD"] == 1


def test_normalization_before_each_group_of_a_depthwise_convolution_vanishes_in_it() -> None:
    parts = (
        node("Mul", "x s", "a"),
        node("Add", "a t", "b"),
        node("Conv", "b w", "c", group=4),
        node("GlobalAveragePool", "c", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants={"w": weights(8, 1, 3, 3), **CHANNELS}))

    assert operators(result) == {"DEPTHWISE_CONV_2D": 1, "MEAN": 1, "RESHAPE": 1}


def test_normalization_before_a_product_vanishes_in_it() -> None:
    constants = {"mean": weights(7), "deviation": weights(7, seed=3) ** 2 + 1, "w": weights(7, 5), "b": weights(5)}
    parts = (node("Sub", "x mean", "a"), node("Div", "a deviation", "b2"), node("Gemm", "b2 w b", "y"))

    result = emitted(graph(*parts, inputs={"x": (1, 7)}, constants=constants))

    assert operators(result) == {"FULLY_CONNECTED": 1}


def test_a_large_offset_stays_before_the_product_where_it_would_cancel() -> None:
    constants = {"mean": np.full(7, 2000, dtype=np.float32), "w": weights(7, 5)}

    result = emitted(
        graph(node("Sub", "x mean", "a"), node("Gemm", "a w", "y"), inputs={"x": (1, 7)}, constants=constants)
    )

    assert operators(result) == {"SUB": 1, "FULLY_CONNECTED": 1}


def test_three_sums_and_products_with_constants_become_two() -> None:
    parts = (node("Mul", "x six", "a"), node("Add", "a s", "b"), node("Sub", "b t", "c"), node("Tanh", "c", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=CHANNELS | NUMBERS))

    assert operators(result) == {"MUL": 1, "ADD": 1, "TANH": 1}


def test_a_quotient_by_a_constant_is_a_product() -> None:
    result = emitted(graph(node("Div", "x six", "y"), inputs={"x": IMAGE}, constants=NUMBERS))

    assert operators(result) == {"MUL": 1}


def test_a_sum_that_someone_else_reads_is_not_folded_away() -> None:
    parts = (node("Conv", "x w", "a"), node("Add", "a t", "b"), node("Mul", "b s", "c"), node("Add", "b c", "y"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, constants=KERNEL | CHANNELS))

    assert operators(result)["ADD"] == 1
    assert operators(result)["MUL"] == 1
