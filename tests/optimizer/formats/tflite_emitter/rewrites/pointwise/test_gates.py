"""A gate behind a layer costs one operator; that it answers as ONNX Runtime does is checked by ``emitted``."""

from __future__ import annotations

import pytest

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, operators, weights


@pytest.mark.parametrize("more", [{"alpha": 1 / 6, "beta": 0.5}, {"alpha": 0.2, "beta": 0.4}, {}])
def test_a_hard_sigmoid_behind_a_convolution_leaves_one_product(more: dict[str, float]) -> None:
    parts = (node("Conv", "x w b", "c"), node("HardSigmoid", "c", "y", **more))

    result = emitted(graph(*parts, inputs={"x": (1, 3, 8, 8)}, constants={"w": weights(4, 3, 1, 1), "b": weights(4)}))

    assert operators(result) == {"CONV_2D": 1, "MUL": 1, "TRANSPOSE": 1}


def test_a_hard_sigmoid_behind_a_product_that_is_read_twice_stays_apart() -> None:
    parts = (node("MatMul", "x w", "m"), node("HardSigmoid", "m", "g", alpha=1 / 6), node("Mul", "m g", "y"))

    result = emitted(graph(*parts, inputs={"x": (1, 4)}, constants={"w": weights(4, 4)}))

    assert operators(result)["FULLY_CONNECTED"] == 1
    assert sum(operators(result).values()) <= 4
