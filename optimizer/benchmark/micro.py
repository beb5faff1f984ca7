"""A model in the interpreter of TensorFlow Lite for Microcontrollers: the smallest arena that it runs in, its answers.

The interpreter runs in a process of its own, because it ends the process over some files. Run as
``python -m optimizer.benchmark.micro FOLDER BYTES``: answers ``rows.npz`` (an array for each input, by place, shape
(rows, ...), stored types) by ``model.tflite`` in an arena of that size, into ``answers.npz``.

The arena is that of a 64-bit build with reference kernels. A 32-bit device needs less for the runtime's own accounts;
its optimized kernels may ask for scratch memory on top.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess  # the child is this very module
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from contracts.preprocessing import DTYPES
from optimizer.errors import MeasureFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model

    Arrays = Sequence[NDArray[np.generic]]

_TIMEOUT_S: Final = 120
_LARGEST: Final = 1 << 26
"""Bytes of arena that no microcontroller has."""
_TOTAL: Final = re.compile(r"Arena allocation total (\d+) bytes")
_STEP: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MicroRun:
    """What came of a run: bytes of the smallest arena, and each output by place, shape (rows, ...), stored types."""

    arena_bytes: int
    outputs: tuple[NDArray[np.generic], ...]


def is_installed() -> bool:
    """Return whether the interpreter's package is installed."""
    return importlib.util.find_spec("tflite_micro") is not None


def run_micro(model: Model, rows: Arrays | None = None) -> MicroRun:
    """Return the smallest arena in which the model runs, and its answers.

    Args:
        model: a TFLite file.
        rows: for each input, by place, the values that it is given one by one, shape (rows, ...), in its stored type;
            by default one row of zeros.

    Raises:
        MeasureFailed: the interpreter refuses the model, or takes longer than two minutes.
    """
    given = rows or tuple(np.zeros((1, *spec.shape[1:]), DTYPES[spec.element]) for spec in model.inputs)
    with tempfile.TemporaryDirectory(prefix="edgeship-") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model.content)
        np.savez(folder / "rows.npz", *given)
        arena_bytes = _smallest_arena(folder, model.name)
        with np.load(folder / "answers.npz") as answers:
            outputs = tuple(answers[key] for key in answers.files)
    return MicroRun(arena_bytes=arena_bytes, outputs=outputs)


def _smallest_arena(folder: Path, name: str) -> int:
    """Return the smallest arena in which the folder's rows were answered: what was used of a large one, or hardly more.

    While it plans, the interpreter may need more than it keeps; in less it fails, or ends the process.

    Raises:
        MeasureFailed: the rows are not answered in the largest.
    """
    generous = _run(folder, _LARGEST, name)
    told = _TOTAL.findall(generous.stderr)
    if generous.returncode or not told:
        raise MeasureFailed(f"{name}: TensorFlow Lite Micro refuses it ({_reason(generous)}); leave it out")
    used = -(-int(told[-1]) // _STEP) * _STEP
    for sixteenth in range(16):
        size = (used + used * sixteenth // 16) // _STEP * _STEP
        if not _run(folder, size, name).returncode:
            return size
    return 2 * used


def _run(folder: Path, arena_bytes: int, name: str) -> subprocess.CompletedProcess[str]:
    """Return what came of a process that answers the folder's rows in that arena.

    Raises:
        MeasureFailed: it takes longer than two minutes.
    """
    try:
        return subprocess.run(  # noqa: S603 our own interpreter and module, a path of our own making
            [sys.executable, "-m", "optimizer.benchmark.micro", str(folder), str(arena_bytes)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    except subprocess.TimeoutExpired as error:
        raise MeasureFailed(f"{name}: TensorFlow Lite Micro took over {_TIMEOUT_S} s; leave it out") from error


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last thing that the interpreter itself said, else what Python made of it."""
    said = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith((" ", "Trace"))]
    own = [line for line in said if not line.startswith("RuntimeError")]
    return (own or said or [f"it ended with {done.returncode}"])[-1][:200]


def _child(folder: Path, arena_bytes: int) -> None:
    """Answer the folder's rows in the arena, and say on the error stream what was used of it."""
    runtime = importlib.import_module("tflite_micro").runtime
    with np.load(folder / "rows.npz") as archive:
        rows = [archive[key] for key in archive.files]
    interpreter = runtime.Interpreter.from_bytes((folder / "model.tflite").read_bytes(), arena_size=arena_bytes)
    answers = [_answer(interpreter, [values[place : place + 1] for values in rows]) for place in range(len(rows[0]))]
    np.savez(folder / "answers.npz", *(np.concatenate(parts) for parts in zip(*answers, strict=True)))
    interpreter.print_allocations()


def _answer(interpreter: Any, row: Arrays) -> list[NDArray[np.generic]]:
    interpreter.reset()
    for place, values in enumerate(row):
        shape = tuple(int(size) for size in interpreter.get_input_details(place)["shape"])
        interpreter.set_input(np.ascontiguousarray(values).reshape(shape), place)
    interpreter.invoke()
    found, place = [], 0
    while True:
        try:
            found.append(np.array(interpreter.get_output(place)))
        except (IndexError, RuntimeError):
            return found
        place += 1


if __name__ == "__main__":
    _child(Path(sys.argv[1]), int(sys.argv[2]))
