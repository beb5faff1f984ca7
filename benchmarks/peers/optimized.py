"""What ONNX Runtime makes of a model before it runs it: its own optimized graph."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def optimized(content: bytes) -> Any:
    """Return the optimized model, without the layouts of one processor."""
    import onnx
    import onnxruntime

    with TemporaryDirectory() as name:
        path = Path(name) / "optimized.onnx"
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.log_severity_level = 4
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)
