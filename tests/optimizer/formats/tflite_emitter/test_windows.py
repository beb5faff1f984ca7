"""Convolutions and pools, over their attributes, beside ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, operators, weights


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_convolution_answers_as_the_original_for_any_window(data: st.DataObject) -> None:
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    strides = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilations = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = data.draw(st.tuples(*(st.integers(0, 2),) * 4))
    depthwise, channels = data.draw(st.booleans()), data.draw(st.integers(1, 4))
    bias = data.draw(st.booleans())
    size = data.draw(st.tuples(st.integers(9, 12), st.integers(9, 12)))
    shape = (2 * channels, 1, *kernel) if depthwise else (5, channels, *kernel)
    convolution = node(
        "Conv",
        "x w b" if bias else "x w",
        "y",
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
        group=channels if depthwise else 1,
    )
    constants = {"w": weights(*shape), "b": weights(shape[0], seed=1)}

    result = emitted(graph(convolution, inputs={"x": (1, channels, *size)}, constants=constants))

    assert result.channel_last == {"x"}


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


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_max_pool_after_relu_answers_as_the_original_for_any_window(data: st.DataObject) -> None:
    kernel, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    before, after = (data.draw(st.integers(0, kernel // 2)) for _ in range(2))
    size, ceil = data.draw(st.integers(7, 12)), data.draw(st.booleans())
    windows = -(-(size + before + after - kernel) // stride) + 1
    assume(not ceil or (windows - 1) * stride < size + before)
    pool = node(
        "MaxPool",
        "positive",
        "y",
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[before, before, after, after],
        ceil_mode=int(ceil),
    )

    result = emitted(graph(node("Relu", "x", "positive"), pool, inputs={"x": (1, 3, size, size)}))

    assert operators(result)["MAX_POOL_2D"] == 1


def test_a_padded_max_pool_over_negative_values_never_lets_the_padding_win() -> None:
    pool = node("MaxPool", "shifted", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    shift = node("Sub", "x ten", "shifted")

    result = emitted(
        graph(shift, pool, inputs={"x": (1, 3, 8, 8)}, constants={"ten": np.asarray(10, dtype=np.float32)})
    )

    assert operators(result)["PAD"] == 0
    assert operators(result)["MAX_POOL_2D"] == 2


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_average_pool_answers_as_the_original_where_it_is_written(data: st.DataObject) -> None:
    kernel, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    pad = data.draw(st.sampled_from([0, (kernel - 1) // 2]))
    counted = data.draw(st.booleans())
    assume(counted or pad == 0 or kernel % 2 == 1)
    pool = node(
        "AveragePool",
        "x",
        "y",
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[pad] * 4,
        count_include_pad=int(counted),
    )

    result = emitted(graph(pool, inputs={"x": (1, 2, 9, 8)}))

    assert operators(result)["AVERAGE_POOL_2D"] == 1


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_pool_over_a_line_answers_as_the_original(op: str) -> None:
    result = emitted(graph(node(op, "x", "y", kernel_shape=[2], strides=[2]), inputs={"x": (1, 5, 12)}))

    assert operators(result)["TRANSPOSE"] == 1


def test_global_average_pool_is_one_mean() -> None:
    result = emitted(graph(node("GlobalAveragePool", "x", "y"), inputs={"x": (1, 5, 6, 7)}))

    assert operators(result) == {"MEAN": 1}
