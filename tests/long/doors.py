"""Throwing damaged files at one door: each is read or refused, and what kills the reader is one line outside of it."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import strategies as st

from optimizer.errors import ModelError
from optimizer.file_kind import file_kind
from optimizer.formats.probe import probe
from tests.long.fuzzing import fuzz
from tests.long.loader_child import Door, LoaderChild
from tests.slow import record


def fuzz_door(door: Door, files: st.SearchStrategy[bytes], *, seconds: float) -> Counter[str]:
    """Check that the door reads or refuses each file; return how many did what, and write it down."""
    child = LoaderChild()
    outcomes: Counter[str] = Counter()

    def check(content: bytes) -> None:
        outcome = child.load(door, content)
        outcomes[outcome.partition(" ")[0]] += 1
        assert outcome.startswith(("fits", "refused")) or _is_one_line_outside(child, door, content), outcome

    with contextlib.closing(child):
        fuzz(files, check, seconds=seconds)
    record(f"loader {door.name}", dict(outcomes))
    return outcomes


def _is_one_line_outside(child: LoaderChild, door: Door, content: bytes) -> bool:
    """Return whether a file that kills its reader is refused by whoever opens files for it.

    LiteRT's XNNPACK delegate ends the process over some damaged files. The optimizer opens a file in a process of
    its own first; the agent gets only what the optimizer could open.
    """
    if door in (Door.AGENT_ONNX, Door.DATA_NPZ, Door.DATA_CSV, Door.DATA_WAV):
        return False
    if door is Door.AGENT_TFLITE:
        return child.load(Door.OPTIMIZER_TFLITE, content).startswith(("refused", "died"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"fuzzed{door.suffix}"
        path.write_bytes(content)
        try:
            probe(path, file_kind(content, path))
        except ModelError as error:
            return "\n" not in str(error)
    return False
