"""Files that appear whole or not at all: on a full disk nothing is half written, and the old file stays."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Make the file hold exactly these bytes; what is no file (a pipe, a terminal) is written as it is.

    Raises:
        OSError: the folder is missing, not writable or full; the old file is untouched.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
