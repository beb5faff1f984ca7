"""Memory on this machine: what loading and running a model adds to a process, measured in a child of its own.

The child imports the runtime first, so what is counted is the model's: its bytes, its weights as the
runtime lays them out, its activations. Run as ``python -m optimizer.benchmark.memory FORMAT FILE``
with one zero row for each input; prints one number of bytes.
"""

from __future__ import annotations

import importlib
import resource
import subprocess  # the child is this very module
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from contracts.ids import digest_of
from contracts.preprocessing import DTYPES
from contracts.tensors import TensorSpec
from optimizer.errors import MeasureFailed
from optimizer.formats.session import open_session
from optimizer.model import Format, Model, ModelSpec

_RUNS = 5
_TIMEOUT_S = 120
_RUNTIMES: Final = {
    Format.TORCH: ("optimizer.formats.torch_format", "torch.export"),
    Format.ONNX: ("optimizer.formats.onnx_format", "onnxruntime"),
    Format.TFLITE: ("optimizer.formats.tflite_format", "ai_edge_litert.interpreter"),
}


def measure_memory(models: Sequence[Model]) -> tuple[int, ...]:
    """Return, for each model, the bytes of resident memory that loading and running it adds.

    The children run side by side: memory, unlike time, does not mind.

    Raises:
        MeasureFailed: a child fails or takes longer than two minutes.
    """
    with tempfile.TemporaryDirectory(prefix="edgeship-") as folder:
        children = [_start(model, Path(folder) / f"{place}{model.suffix}") for place, model in enumerate(models)]
        try:
            return tuple(_result(model, child) for model, child in zip(models, children, strict=True))
        finally:
            for child in children:
                child.kill()
                child.wait()


def _start(model: Model, path: Path) -> subprocess.Popen[str]:
    path.write_bytes(model.content)
    arrays = {spec.name: _one_row(spec) for spec in model.inputs}
    np.savez(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type] # numpy's stub takes the names for options
    return subprocess.Popen(  # noqa: S603 our own interpreter and module, paths of our own making
        [sys.executable, "-m", "optimizer.benchmark.memory", model.format.value, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def _result(model: Model, child: subprocess.Popen[str]) -> int:
    try:
        told, problem = child.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise MeasureFailed(f"{model.name}: measuring memory took over {_TIMEOUT_S} s") from error
    if child.returncode:
        last = (problem.strip().splitlines() or ["no message"])[-1]
        raise MeasureFailed(f"{model.name}: the process that measures memory failed ({last[:160]})")
    return int(told)


def _one_row(spec: TensorSpec) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    shape = tuple(1 if size == -1 else size for size in spec.shape)
    return np.zeros(shape, dtype=DTYPES[spec.element])


def _child(kind: Format, path: Path) -> int:
    """Return the bytes that loading and running the model adds to this process."""
    with np.load(path.with_suffix(".npz")) as archive:
        inputs = {name: archive[name] for name in archive.files}
    _import_runtime(kind)
    before = _resident_bytes()
    content = path.read_bytes()
    session = open_session(_unread(kind, content))
    for _ in range(_RUNS):
        session.run(inputs)
    return max(_resident_bytes() - before, len(content))


def _unread(kind: Format, content: bytes) -> Model:
    """Return the model without reading its tensors: the reader's own memory must not count."""
    if kind is Format.TORCH:
        return Model.from_bytes(kind, content, name="model")
    spec = ModelSpec(format=kind, name="model", inputs=(), outputs=())
    return Model(spec=spec, content=content, digest=digest_of(content))


def _import_runtime(kind: Format) -> None:
    for module in _RUNTIMES[kind]:
        importlib.import_module(module)


def _resident_bytes() -> int:
    """Return this process's resident memory (its peak, where the system does not tell the present)."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return int(fields[1]) * resource.getpagesize()


if __name__ == "__main__":
    sys.stdout.write(f"{_child(Format(sys.argv[1]), Path(sys.argv[2]))}\n")
