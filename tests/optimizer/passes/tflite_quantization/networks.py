"""A small float TFLite network with an image input, and what it shows of seeded rows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from optimizer.calibration.collect import collect
from optimizer.formats.session import open_session
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes import ExportTflite, Precision, QuantizeTflite
from optimizer.served import Served
from tests.optimizer.formats.onnx_graphs import graph, node, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def a_float_net() -> Model:
    """Return image (1, 6, 5, 3) to five scores: a convolution, a mean and a dense layer."""
    parts = (
        node("Conv", "image w", "c"),
        node("Relu", "c", "r"),
        node("GlobalAveragePool", "r", "p"),
        node("Flatten", "p", "flat"),
        node("Gemm", "flat v", "scores"),
    )
    constants = {"w": weights(40, 3, 3, 3), "v": weights(40, 5, seed=2)}
    content = graph(*parts, inputs={"image": (1, 3, 6, 5)}, constants=constants, outputs="scores")
    return ExportTflite().run(Model.from_bytes(Format.ONNX, content, name="net"), Observations())


def image_rows(count: int = 40, seed: int = 1) -> NDArray[np.float32]:
    """Return seeded channel-last images."""
    return np.random.default_rng(seed).normal(size=(count, 6, 5, 3)).astype(np.float32)


@cache
def seen() -> Observations:
    """Return what the network shows of the rows."""
    return Observations(statistics=collect(a_float_net(), [{"image": image_rows()}]))


@cache
def made(precision: Precision) -> Model:
    """Return the network in that precision."""
    return QuantizeTflite(precision=precision).run(a_float_net(), seen())


def scores(model: Model, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the model's answers to channel-last images, as real values."""
    original = a_float_net()
    served = Served(
        model=model, session=open_session(model, threads=1), inputs=original.inputs, outputs=original.outputs, steps=()
    )
    return served.infer({"image": rows})["scores"]
