"""Memory on this machine: what loading and running a model adds to a process, measured in a child of its own.

The child imports the runtime first, so what is counted is the model's: its bytes, its weights as the
runtime lays them out, its activations. Run as ``python -m optimizer.benchmark.memory FORMAT THREADS LIMIT FILE``
with one zero row for each input; prints one number of bytes.

A child may take as much address space as the machine has memory free (``RLIMIT_AS``; on systems without it,
anything): a model that wants more is refused instead of driving the machine into its swap.
"""

from __future__ import annotations

import contextlib
import importlib
import resource
import signal
import subprocess  # the child is this very module
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from contracts.ids import digest_of
from contracts.preprocessing import DTYPES
from contracts.telemetry import forbid_telemetry
from contracts.tensors import TensorSpec
from optimizer.errors import MeasureFailed, OptimizerError
from optimizer.formats.session import open_session
from optimizer.model import Format, Model, ModelSpec

_RUNS = 5
_TIMEOUT_S = 120
_LEAST_BYTES: Final = 512 * 1024**2
"""Address space that a runtime takes for thread stacks and arenas beside the model, never touching most of it."""
_RUNTIMES: Final = {
    Format.TORCH: ("optimizer.formats.torch_format", "torch.export"),
    Format.ONNX: ("optimizer.formats.onnx_format", "onnxruntime"),
    Format.ORT: ("optimizer.formats.onnx_format", "onnxruntime"),
    Format.TFLITE: ("optimizer.formats.tflite_format", "ai_edge_litert.interpreter"),
}


def measure_memory(models: Sequence[Model], *, threads: int = 1, limit_bytes: int | None = None) -> tuple[int, ...]:
    """Return, for each model, the bytes of resident memory that loading and running it adds.

    The children run side by side: memory, unlike time, does not mind.

    Args:
        models: what to measure.
        threads: how many threads the runtime gets.
        limit_bytes: most that a child may take for its model; by default what the machine has free.

    Raises:
        MeasureFailed: a child fails, wants more memory than it may take, or takes longer than two minutes.
    """
    limit = (limit_bytes or _free_bytes()) // max(len(models), 1)
    with contextlib.ExitStack() as open_children:
        children = [
            open_children.enter_context(start_measuring(model, threads=threads, limit_bytes=limit)) for model in models
        ]
        return tuple(child.result() for child in children)


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process that measures one model; leaving its block ends it and removes its files."""

    model: Model
    process: subprocess.Popen[str]
    folder: tempfile.TemporaryDirectory[str]

    def __enter__(self) -> Self:
        """Return the child."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End the process, if it still runs, and remove its files."""
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

    def result(self) -> int:
        """Return the bytes that the model took.

        Raises:
            MeasureFailed: the process failed, a signal ended it, or it took longer than two minutes.
        """
        name = self.model.name
        try:
            told, problem = self.process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise MeasureFailed(
                f"{name}: measuring memory took over {_TIMEOUT_S} s; leave this candidate out"
            ) from error
        code = self.process.returncode
        if code < 0:
            raise MeasureFailed(
                f"{name}: the runtime was ended by {signal.Signals(-code).name} while it loaded or ran the model; "
                "leave this candidate out"
            )
        if code:
            last = (problem.strip().splitlines() or ["no message"])[-1]
            raise MeasureFailed(
                f"{name}: the process that measures memory failed ({last[:200]}); leave this candidate out"
            )
        return int(told.split()[-1])


def start_measuring(model: Model, *, threads: int, limit_bytes: int) -> Child:
    """Return a process that has begun to measure the model; it may take that much more memory for it."""
    folder = tempfile.TemporaryDirectory(prefix="edgeship-")
    path = Path(folder.name) / f"model{model.suffix}"
    path.write_bytes(model.content)
    arrays = {spec.name: _one_row(spec) for spec in model.inputs}
    np.savez(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type] # numpy's stub takes the names for options
    words = (model.format.value, str(threads), str(limit_bytes), str(path))
    process = subprocess.Popen(  # noqa: S603 our own interpreter and module, paths of our own making
        [sys.executable, "-m", "optimizer.benchmark.memory", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=Path(__file__).parents[2],
    )
    return Child(model=model, process=process, folder=folder)


def _one_row(spec: TensorSpec) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    shape = tuple(1 if size == -1 else size for size in spec.shape)
    return np.zeros(shape, dtype=DTYPES[spec.element])


def _child(kind: Format, threads: int, limit_bytes: int, path: Path) -> int:
    """Return the bytes that loading and running the model adds to this process."""
    with np.load(path.with_suffix(".npz")) as archive:
        inputs = {name: archive[name] for name in archive.files}
    _import_runtime(kind)
    _bound_address_space(limit_bytes)
    before = _resident_bytes()
    content = path.read_bytes()
    session = open_session(_unread(kind, content), threads=threads)
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
    forbid_telemetry()
    for module in _RUNTIMES[kind]:
        importlib.import_module(module)


def _bound_address_space(more_bytes: int) -> None:
    """Let this process take that much more address space than it has now, and what a runtime reserves."""
    now = _status_bytes(0)
    if now is not None:
        limit = now + more_bytes + _LEAST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _free_bytes() -> int:
    """Return the memory that new processes could have without swapping; without a limit where it is not told."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1 << 62
    told = (line.split() for line in lines if line.startswith("MemAvailable:"))
    return next((int(words[1]) * 1024 for words in told), 1 << 62)


def _resident_bytes() -> int:
    """Return this process's resident memory (its peak, where the system does not tell the present)."""
    now = _status_bytes(1)
    if now is not None:
        return now
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status_bytes(place: int) -> int | None:
    """Return a field of this process's memory status (0: address space, 1: resident); None where it is not told."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return None
    return int(fields[place]) * resource.getpagesize()


def _main(kind: str, threads: str, limit_bytes: str, path: str) -> None:
    try:
        taken = _child(Format(kind), int(threads), int(limit_bytes), Path(path))
    except (MemoryError, OptimizerError) as error:
        if isinstance(error, MemoryError) or "alloc" in str(error.__cause__).lower():
            sys.exit(f"it wants more than the {int(limit_bytes) / 1e6:.0f} MB of memory that it may take; leave it out")
        sys.exit(str(error))
    sys.stdout.write(f"{taken}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
