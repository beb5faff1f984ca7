"""How a peer's script is given its work and hands it back.

Given: a folder with ``model.onnx``, ``calibration.npz`` and ``validation.npz`` (one array for each input tensor, and
``label`` or ``reference/TENSOR``) and ``case.json``. Handed back: ``out.onnx``, weights inside, and ``result.json``.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Feed = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Work:
    """What a script is asked to do; ``transformer`` says what kind of network it is, ``arguments`` are its own."""

    folder: Path
    output: Path
    transformer: bool
    arguments: argparse.Namespace

    @property
    def model(self) -> Path:
        """The model to quantize."""
        return self.folder / "model.onnx"

    def rows(self, split: str = "calibration") -> list[Feed]:
        """Return one feed a row, a batch of one, by tensor."""
        arrays = self.arrays(split)
        names = [name for name in arrays if name != "label" and "/" not in name]
        return [{name: arrays[name][place : place + 1] for name in names} for place in range(len(arrays[names[0]]))]

    def arrays(self, split: str) -> dict[str, NDArray[np.generic]]:
        """Return everything in the split's file."""
        with np.load(self.folder / f"{split}.npz", allow_pickle=False) as held:
            return {name: held[name] for name in held.files}


class Reader:
    """Gives one row after the other, then None: what ONNX Runtime's calibrators and their heirs ask for."""

    def __init__(self, rows: list[Feed]) -> None:
        self._rows = rows
        self._left: Iterator[Feed] = iter(rows)

    def get_next(self) -> Feed | None:
        """Return the next row or None."""
        return next(self._left, None)

    def rewind(self) -> None:
        """Begin again."""
        self._left = iter(self._rows)


def run(make: Callable[[Work], onnx.ModelProto], *, flags: tuple[str, ...], tools: tuple[str, ...]) -> int:
    """Do the work that the command line names; write the model and what it took. Return the exit status.

    Args:
        make: returns the peer's model.
        flags: names of the script's own switches.
        tools: distributions whose versions are recorded.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    for flag in flags:
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    case = json.loads((arguments.folder / "case.json").read_text(encoding="utf-8"))
    work = Work(arguments.folder, arguments.output, bool(case["transformer"]), arguments)
    started = time.perf_counter()

    def note_failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        _note(work, tools, started, error=_line(error))

    sys.excepthook = note_failure  # whatever a peer raises is its row's text, and its traceback is shown
    model = make(work)
    sys.excepthook = sys.__excepthook__
    (arguments.output / "out.onnx").write_bytes(model.SerializeToString(deterministic=True))
    _note(work, tools, started, error="")
    return 0


def peak_rss_bytes() -> int:
    """Return this process's own peak; what ``getrusage`` says of it counts its parent's memory at the start, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = [line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def _note(work: Work, tools: tuple[str, ...], started: float, *, error: str) -> None:
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    note: dict[str, Any] = {
        "seconds": time.perf_counter() - started,
        "peak_rss_bytes": max(peak_rss_bytes(), children),
        "versions": {tool: metadata.version(tool) for tool in tools},
        "error": error,
    }
    (work.output / "result.json").write_text(json.dumps(note), encoding="utf-8")


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:300]}"
