"""The folder that a program for a microcontroller is built from: model, operators, arena, golden rows and a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.benchmark.micro import is_installed, run_micro
from optimizer.errors import PackingError
from optimizer.formats.session import open_session
from optimizer.microcontroller.planner import planned_arena
from optimizer.microcontroller.resolver import missing_operators
from optimizer.microcontroller.sources import Golden, source_files
from optimizer.model import Format, Model
from optimizer.whole_file import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.data.rows import Rows
    from optimizer.served import Served

FOLDER: Final = "microcontroller"
_ROWS: Final = 8
_GOLDEN_BYTES: Final = 1 << 16
"""Of golden inputs, as far as one row is not more: flash is short."""
_MEASURED: Final = (
    "Taken in the TensorFlow Lite Micro interpreter (64 bits, reference kernels): 32 bits need less, CMSIS-NN and "
    "ESP-NN may ask for scratch on top."
)
_PLANNED: Final = (
    "Computed from above by the rules of TensorFlow Lite Micro's planner, as its interpreter is not installed: "
    "pip install tflite-micro."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """Memory that a model needs at run time, and how that was found out."""

    size_bytes: int
    words: str


def arena_of(model: Model) -> Arena:
    """Return the arena of a TFLite file: taken in the runtime's interpreter where that is installed, else computed.

    Raises:
        MeasureFailed: the interpreter refuses the model.
    """
    if is_installed():
        return Arena(size_bytes=run_micro(model).arena_bytes, words=_MEASURED)
    return Arena(size_bytes=planned_arena(model.content), words=_PLANNED)


def golden_rows(served: Served, rows: Rows) -> tuple[NDArray[np.generic], ...]:
    """Return some rows, evenly spread, as the file takes them: by place, shape (rows, ...), stored types."""
    first = _own_row(served, rows, 0)
    row_bytes = sum(values.nbytes for values in first)
    count = min(_ROWS, rows.count, max(1, _GOLDEN_BYTES // max(row_bytes, 1)))
    places = np.unique(np.linspace(0, rows.count - 1, count).round().astype(np.int64))
    taken = [_own_row(served, rows, int(place)) for place in places]
    return tuple(np.concatenate(values) for values in zip(*taken, strict=True))


def write_bundle(model: Model, inputs: Sequence[NDArray[np.generic]], folder: Path) -> Path:
    """Write the files into the folder, made where it is missing, and return it.

    Args:
        model: a TFLite file.
        inputs: golden rows as the file takes them, by place, shape (rows, ...), stored types.
        folder: where to.

    Raises:
        PackingError: the runtime lacks an operator, or the folder cannot be written.
        MeasureFailed: the runtime refuses the model.
    """
    missing = missing_operators(model.spec.operators)
    if model.format is not Format.TFLITE or missing:
        what = f"has no {', '.join(missing)}" if missing else f"reads TFLite files, not {model.format}"
        raise PackingError(f"{model.name}: TensorFlow Lite Micro {what}; choose another candidate")
    if is_installed():
        run = run_micro(model, inputs)
        arena, outputs = Arena(size_bytes=run.arena_bytes, words=_MEASURED), run.outputs
    else:
        arena, outputs = Arena(size_bytes=planned_arena(model.content), words=_PLANNED), _answers(model, inputs)
    golden = Golden(inputs=tuple(inputs), outputs=outputs)
    files = source_files(model, golden, arena_bytes=arena.size_bytes, arena_words=arena.words)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(folder / name, text.encode())
    except OSError as error:
        raise PackingError(f"cannot write {folder}: {error.strerror}; give a folder that has room") from error
    return folder


def _own_row(served: Served, rows: Rows, place: int) -> list[NDArray[np.generic]]:
    """Return one row as the file takes it, by place."""
    taken = served.own_rows(rows.take(np.array([place], np.int64)))
    return [np.ascontiguousarray(taken[spec.name][:1]) for spec in served.model.inputs]


def _answers(model: Model, inputs: Sequence[NDArray[np.generic]]) -> tuple[NDArray[np.generic], ...]:
    """Return LiteRT's answers, row by row: a device's may differ by a step."""
    session = open_session(model, threads=1)
    rows = [
        session.run({spec.name: values[place : place + 1] for spec, values in zip(model.inputs, inputs, strict=True)})
        for place in range(len(inputs[0]))
    ]
    return tuple(np.concatenate([row[spec.name] for row in rows]) for spec in model.outputs)
