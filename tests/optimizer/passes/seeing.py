"""What passes are shown, and what ONNX Runtime makes of their results."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from optimizer.calibration.collect import collect
from optimizer.formats.session import open_session
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from tests.optimizer.builders import rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def model_of(content: bytes, name: str = "net") -> Model:
    """Return the model of an ONNX file's bytes."""
    return Model.from_bytes(Format.ONNX, content, name=name)


def proto_of(model: Model) -> Any:
    """Return the ``onnx.ModelProto`` of a model."""
    return onnx.load_model_from_string(model.content)


def given_rows(model: Model, *, count: int = 32, seed: int = 5) -> dict[str, NDArray[np.generic]]:
    """Return seeded float rows for each input."""
    return {spec.name: rows(spec.shape[1:], count=count, seed=seed) for spec in model.inputs}


def observed(model: Model, *, count: int = 32) -> Observations:
    """Return seeded rows and the statistics over them."""
    seen = given_rows(model, count=count)
    return Observations(rows=seen, statistics=collect(model, [seen]))


def answers(model: Model, given: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """Return the model's first output for the rows."""
    return np.asarray(open_session(model).run(given)[model.outputs[0].name], np.float32)


def relative_error(model: Model, reference: Model) -> float:
    """Return the root of the squared difference of answers to the observed rows, over the reference's."""
    given = given_rows(reference)
    exact, close = answers(reference, given), answers(model, given)
    return float(np.linalg.norm(close - exact) / np.linalg.norm(exact))


def run_operators(model: Model) -> Counter[str]:
    """Count the operators that ONNX Runtime runs on this machine, after its own fusions."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.content, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
