"""Small float nets with the shapes that quantizers get wrong, built with onnx alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.optimizer.formats.onnx_graphs import Shape, graph, node, weights
from tests.optimizer.passes.seeing import model_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model

IMAGE: dict[str, Shape] = {"x": (1, 3, 12, 12)}


def uneven(values: NDArray[np.float32], *, axis: int, decades: float = 1.5) -> NDArray[np.float32]:
    """Return weights whose channels on the axis differ in scale by that many powers of ten."""
    shape = [1] * values.ndim
    shape[axis] = -1
    return (values * np.logspace(0, -decades, values.shape[axis], dtype=np.float32).reshape(shape)).astype(np.float32)


def chain_net(*, opset: int = 18, decades: float = 0.0) -> Model:
    """Return conv, depthwise conv, conv, pool, dense, each conv with bias and Relu: image (n, 3, 12, 12) to 4 scores."""
    return model_of(
        graph(
            node("Conv", "x w1 b1", "c1", pads=[1, 1, 1, 1]),
            node("Relu", "c1", "r1"),
            node("Conv", "r1 w2 b2", "c2", pads=[1, 1, 1, 1], group=16),
            node("Relu", "c2", "r2"),
            node("Conv", "r2 w3 b3", "c3"),
            node("Relu", "c3", "r3"),
            node("GlobalAveragePool", "r3", "p"),
            node("Flatten", "p", "f"),
            node("Gemm", "f w4 b4", "y", transB=1),
            inputs=IMAGE,
            constants={
                "w1": uneven(weights(16, 3, 3, 3, seed=1) * 0.3, axis=0, decades=decades),
                "b1": uneven(weights(16, seed=2), axis=0, decades=decades),
                "w2": weights(16, 1, 3, 3, seed=3) * 0.5,
                "b2": weights(16, seed=4) * 0.1,
                "w3": uneven(weights(24, 16, 1, 1, seed=5), axis=1, decades=-decades),
                "b3": weights(24, seed=6),
                "w4": weights(4, 24, seed=7),
                "b4": weights(4, seed=8),
            },
            opset=opset,
        )
    )


def residual_net() -> Model:
    """Return two branches that meet in an Add and a Concat: image (n, 3, 12, 12) to (n, 20, 12, 12)."""
    return model_of(
        graph(
            node("Conv", "x w1 b1", "c1", pads=[1, 1, 1, 1]),
            node("Relu", "c1", "r1"),
            node("Conv", "r1 w2", "c2", pads=[1, 1, 1, 1]),
            node("Add", "c2 r1", "a"),
            node("Relu", "a", "r2"),
            node("MaxPool", "r2", "m", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Conv", "m w3", "c3"),
            node("Sigmoid", "c3", "s"),
            node("Concat", "s r2", "y", axis=1),
            inputs=IMAGE,
            constants={
                "w1": weights(12, 3, 3, 3, seed=1) * 0.3,
                "b1": weights(12, seed=2) * 0.2,
                "w2": weights(12, 12, 3, 3, seed=3) * 0.1,
                "w3": weights(8, 12, 1, 1, seed=4) * 0.3,
            },
        )
    )
