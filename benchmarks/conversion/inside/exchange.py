"""How a converter is given its work and hands it back, whichever environment it runs in.

Given: a folder with ``model.onnx`` and ``legacy.onnx`` (torch's two exporters), ``weights.pt``, ``rows.npz`` and
``case.json``. Handed back: ``out.tflite`` and ``result.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


def run(convert: Callable[[Path, Path], None]) -> int:
    """Convert what the command line names, GIVEN OUT; whatever is raised is the row's text. Return the exit status."""
    given, out = (Path(word) for word in sys.argv[1:3])

    def note_failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        _note(out, f"{kind.__name__}: {' '.join(str(error).split())[:300]}")

    sys.excepthook = note_failure
    convert(given, out)
    _note(out, "")
    return 0


def _note(out: Path, error: str) -> None:
    (out / "result.json").write_text(json.dumps({"peak_rss_bytes": 0, "error": error}), encoding="utf-8")
