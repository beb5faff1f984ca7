"""ONNX to ONNX in half precision: half the size, and faster where the device computes it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass

if TYPE_CHECKING:
    from optimizer.passes.transformer.graph import Graph

_SMALL: Final = 16
"""Constants of fewer values stay float32: the conversion would take more room than it frees."""
_OPENING: Final = (
    "import sys, onnxruntime; onnxruntime.set_default_logger_severity(4); "
    "onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
)
_OPENING_TIMEOUT_S: Final = 120


@dataclass(frozen=True, kw_only=True)
class ConvertFloat16(Pass):
    """Hold the weights in half precision; with ``compute`` the arithmetic too. Inputs and outputs stay as they are.

    Weights alone: ONNX Runtime makes float32 of them when it loads the file, so it is half the size and as fast as
    float, wherever it runs.
    """

    name: ClassVar[str] = "convert-float16"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    compute: bool = field(default=False, metadata={"doc": "compute in half precision, where the target does"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to quantized models, to targets of integers alone, and to computing what the target does not."""
        if spec.quantized:
            yield f"{spec.name} is quantized already; convert the float model"
        if target.full_int8:
            yield f"{target.name} runs int8 alone; quantize instead"
        elif self.compute and not target.computes_fp16:
            yield f"{target.name} does not compute half precision; leave compute out to halve the file alone"

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the model in half precision.

        Raises:
            PassFailed: the model holds no float weights, or cannot be converted to compute in half precision.
        """
        del seen
        from optimizer.passes.transformer.graph import Graph, closed, open_graph

        graph = open_graph(model)
        stored = [_store(graph, name) for name in graph.constants]
        if not any(stored):
            raise PassFailed(f"{self.name}: {model.name} has no float32 weights to convert; leave this pass out")
        if not self.compute:
            return closed(graph, model)
        half = closed(Graph(_computing(model)), model)
        check_opens(half)
        return half


def _store(graph: Graph, name: str) -> bool:
    """Hold a constant in half precision; return whether it is of weights that fit."""
    values = graph.values(name)
    if values.dtype != np.float32 or values.size < _SMALL:
        return False
    if not np.abs(values).max() <= np.finfo(np.float16).max:
        return False
    graph.forget_constant(name)
    held = graph.add_constant(f"{name}/half", values.astype(np.float16))
    graph.add("Cast", [held], name, to=1)
    return True


def _computing(model: Model) -> Any:
    """Return the proto that ONNX Runtime's converter makes of the model.

    Raises:
        PassFailed: it cannot convert it.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    from optimizer.formats.onnx_format import parse

    try:
        return convert_float_to_float16(parse(model.content, model.name), keep_io_types=True)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise PassFailed(f"convert-float16: ONNX Runtime cannot convert {model.name} ({line})") from error


def check_opens(model: Model) -> None:
    """Return if ONNX Runtime opens the model, which is tried in a process of its own.

    ONNX Runtime 1.31.1 dies of a segmentation fault on some encoders in half precision (``torch.nn.TransformerEncoder``
    of one layer that normalizes first), in its optimization of layouts; it would take this process along.

    Raises:
        PassFailed: it does not.
    """
    with tempfile.TemporaryDirectory(prefix="edgeship-") as folder:
        path = Path(folder) / "half.onnx"
        model.save(path)
        try:
            done = subprocess.run(  # noqa: S603 (this interpreter, a constant program, a path made here)
                [sys.executable, "-c", _OPENING, str(path)],
                capture_output=True,
                check=False,
                timeout=_OPENING_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise PassFailed(f"convert-float16: ONNX Runtime takes minutes to open {model.name}") from error
    if done.returncode != 0:
        raise PassFailed(
            f"convert-float16: ONNX Runtime cannot open {model.name} computing in half precision; leave compute out"
        )
