"""A ledger: one line for each thing made, appended and never changed; several processes may share one file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LEDGER: Final = "ledger.jsonl"
"""The name of a ledger in the folder that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was made: the key it is kept under, and what it is, in words."""

    key: str
    what: str


def append_entry(path: Path, entry: Entry) -> None:
    """Append the entry as one line in a single write, so that lines of several processes never mix.

    A line begins with a line break, too, so one that a power cut left unfinished does not spoil the next.

    Raises:
        OSError: the file cannot be written.
    """
    line = f"\n{json.dumps([entry.key, entry.what])}\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Return the entries in the order in which they were written; none where there is no file.

    A line that is no entry is passed over.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(entry for entry in map(_entry, lines) if entry is not None)


def _entry(line: str) -> Entry | None:
    try:
        key, what = json.loads(line)
    except (ValueError, TypeError):
        return None
    return Entry(key=str(key), what=str(what))
