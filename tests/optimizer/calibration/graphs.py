"""Small float ONNX models whose inner tensors are known."""

from __future__ import annotations

from functools import cache

import numpy as np

from optimizer.model import Format, Model
from tests.optimizer.formats.onnx_graphs import graph, node


@cache
def a_convnet(*, free_batch: bool = True, batch: int = 1) -> Model:
    """Return image (n, 2, 6, 6) -> conv -> relu -> gate -> mean -> scores (n, 4); ``side`` is shared by all rows."""
    chance = np.random.default_rng(4)
    content = graph(
        node("Conv", "image kernel", "convolved", pads=[1, 1, 1, 1]),
        node("Relu", "convolved", "active"),
        node("Sigmoid", "active", "gate"),
        node("Mul", "active gate", "gated"),
        node("GlobalAveragePool", "gated", "pooled"),
        node("Flatten", "pooled", "flat"),
        node("Shape", "image", "sides", start=2, end=3),
        node("Cast", "sides", "side", to=1),
        node("Div", "flat side", "scaled"),
        node("Gemm", "scaled weight", "scores"),
        inputs={"image": (batch, 2, 6, 6)},
        constants={
            "kernel": chance.normal(size=(3, 2, 3, 3)).astype(np.float32),
            "weight": chance.normal(size=(3, 4)).astype(np.float32),
        },
        outputs="scores",
        free_batch=free_batch,
    )
    return Model.from_bytes(Format.ONNX, content, name="convnet")


@cache
def a_logarithm() -> Model:
    """Return x (n, 2) -> Log -> Neg -> y: infinite where x is 0, NaN where it is less."""
    content = graph(node("Log", "x", "inner"), node("Neg", "inner", "y"), inputs={"x": (1, 2)})
    return Model.from_bytes(Format.ONNX, content, name="logarithm")
