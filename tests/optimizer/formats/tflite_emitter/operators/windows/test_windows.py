"""Convolutions and pools become few operators; that they answer as ONNX Runtime does for any window is in ``cases``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

Constants = dict[str, "NDArray[Any]"]


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_pads_itself_as_auto_pad_says(automatic: str, stride: int) -> None:
    convolution = node("Conv", "x w", "y", auto_pad=automatic, strides=[stride, stride])

    result = emitted(graph(convolution, inputs={"x": (1, 3, 9, 10)}, constants={"w": weights(4, 3, 3, 2)}))

    assert operators(result)["CONV_2D"] == 1


def test_symmetric_padding_of_a_strided_convolution_is_a_pad_not_same() -> None:
    convolution = node("Conv", "x w", "y", strides=[2, 2], pads=[1, 1, 1, 1])

    result = emitted(graph(convolution, inputs={"x": (1, 3, 8, 8)}, constants={"w": weights(4, 3, 3, 3)}))

    assert operators(result) == {"PAD": 1, "CONV_2D": 1, "TRANSPOSE": 1}


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(("stride", "pads"), [(1, (1, 1)), (2, (1, 1)), (2, (0, 2))])
def test_a_convolution_over_a_line_runs_as_an_image_of_height_one(
    *, depthwise: bool, stride: int, pads: tuple[int, int]
) -> None:
    group, shape = (6, (6, 1, 3)) if depthwise else (1, (4, 6, 3))
    convolution = node("Conv", "x w", "y", strides=[stride], pads=pads, group=group)

    result = emitted(graph(convolution, inputs={"x": (1, 6, 20)}, constants={"w": weights(*shape)}))

    assert result.channel_last == {"x"}


def test_a_padded_max_pool_over_negative_values_never_lets_the_padding_win() -> None:
    pool = node("MaxPool", "shifted", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    shift = node("Sub", "x ten", "shifted")

    result = emitted(
        graph(shift, pool, inputs={"x": (1, 3, 8, 8)}, constants={"ten": np.asarray(10, dtype=np.float32)})
    )

    assert operators(result)["PAD"] == 0
    assert operators(result)["PADV2"] == operators(result)["MAX_POOL_2D"] == 1


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_pool_over_a_line_answers_as_the_original(op: str) -> None:
    result = emitted(graph(node(op, "x", "y", kernel_shape=[2], strides=[2]), inputs={"x": (1, 5, 12)}))

    assert operators(result)["TRANSPOSE"] == 1


def test_global_average_pool_is_one_mean() -> None:
    result = emitted(graph(node("GlobalAveragePool", "x", "y"), inputs={"x": (1, 5, 6, 7)}))

    assert operators(result) == {"MEAN": 1}


@pytest.mark.parametrize(("groups", "code"), [(1, "CONV_2D"), (2, "CONV_2D"), (6, "DEPTHWISE_CONV_2D")])
def test_groups_of_channels_are_one_operator(groups: int, code: str) -> None:
    convolution = node("Conv", "x w", "y", group=groups)

    result = emitted(graph(convolution, inputs={"x": (1, 6, 8, 8)}, constants={"w": weights(12, 6 // groups, 3, 3)}))

    assert operators(result) == {code: 1, "TRANSPOSE": 1}


def test_one_channel_is_a_convolution_not_a_depthwise_one() -> None:
    result = emitted(graph(node("Conv", "x w", "y"), inputs={"x": (1, 1, 8, 8)}, constants={"w": weights(4, 1, 3, 3)}))

    assert operators(result)["CONV_2D"] == 1


def test_zeros_that_a_pad_adds_go_into_the_convolution_after_it() -> None:
    parts = (node("Pad", "x p", "wide"), node("Conv", "wide w", "y", strides=[2, 2]))
    constants: Constants = {"p": numbers(0, 0, 0, 0, 0, 0, 1, 1), "w": weights(4, 3, 3, 3)}

    result = emitted(graph(*parts, inputs={"x": (1, 3, 8, 8)}, constants=constants))

    assert operators(result) == {"CONV_2D": 1, "TRANSPOSE": 1}


def test_a_pad_that_others_read_stays() -> None:
    parts = (
        node("Pad", "x p", "wide"),
        node("Conv", "wide w", "narrow"),
        node("Relu", "wide", "z"),
        node("Relu", "narrow", "y"),
    )
    constants: Constants = {"p": numbers(0, 0, 1, 1, 0, 0, 1, 1), "w": weights(4, 3, 3, 3)}

    result = emitted(graph(*parts, inputs={"x": (1, 3, 8, 8)}, constants=constants, outputs="y z"))

    assert operators(result)["PAD"] == 1


_BLOCKS = {"CONV_2D": 1, "DEPTH_TO_SPACE": 1, "TRANSPOSE": 1}
_UNEVEN = {"pads": [1] * 4, "output_padding": [1, 1]}


@pytest.mark.parametrize(
    ("free", "kernel", "more", "wanted"),
    [
        (True, 2, {}, _BLOCKS),
        (True, 3, _UNEVEN, _BLOCKS),
        (False, 2, {}, {"TRANSPOSE_CONV": 1, "TRANSPOSE": 1}),
        (False, 3, _UNEVEN, _BLOCKS),
    ],
)
def test_a_transposed_convolution_fixes_no_batch(
    free: bool,  # noqa: FBT001 - pytest passes it by name
    kernel: int,
    more: dict[str, list[int]],
    wanted: dict[str, int],
) -> None:
    growth = node("ConvTranspose", "x w", "grown", strides=[2, 2], **more)
    constants = {"w": weights(6, 4, kernel, kernel)}

    result = emitted(
        graph(growth, node("Relu", "grown", "y"), inputs={"x": (1, 6, 5, 5)}, constants=constants, free_batch=free)
    )

    assert {code: count for code, count in operators(result).items() if code != "PAD"} == wanted
    assert result.fixed_batch == ""


def test_an_average_that_leaves_out_lopsided_padding_is_scaled_where_it_does() -> None:
    pool = node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 0, 0, 0])

    result = emitted(graph(pool, inputs={"x": (1, 3, 8, 8)}))

    assert operators(result) == {"PAD": 1, "AVERAGE_POOL_2D": 1, "MUL": 1, "TRANSPOSE": 1}


def test_a_pool_with_gaps_is_a_plain_one_over_each_phase() -> None:
    pool = node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 2])

    result = emitted(graph(pool, inputs={"x": (1, 3, 8, 8)}))

    assert operators(result) == {"SPACE_TO_BATCH_ND": 1, "MAX_POOL_2D": 1, "BATCH_TO_SPACE_ND": 1, "TRANSPOSE": 1}


def test_pixels_come_out_of_the_convolution_in_the_order_of_tflite() -> None:
    parts = (
        node("Conv", "x w b", "channels"),
        node("Relu", "channels", "positive"),
        node("DepthToSpace", "positive", "y", blocksize=2, mode="CRD"),
    )
    constants = {"w": weights(12, 3, 3, 3), "b": weights(12)}

    result = emitted(graph(*parts, inputs={"x": (1, 3, 8, 8)}, constants=constants))

    assert operators(result) == {"CONV_2D": 1, "DEPTH_TO_SPACE": 1, "TRANSPOSE": 1}
