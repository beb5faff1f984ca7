"""Files that are either the old or the new, whatever happens to the machine in between; read within a bound."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the file by the bytes: after a power cut it holds the old ones or the new ones, whole.

    Raises:
        OSError: the folder is missing, not writable or full; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def create_private(path: Path, data: bytes) -> None:
    """Create the file, readable by its owner alone; never overwrites.

    Raises:
        FileExistsError: something is there already.
        OSError: the folder is missing, not writable or full; no file is left.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise
    _sync_folder(path.parent)


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Return the bytes of a regular file of at most that length; a pipe or a device is not waited for.

    Raises:
        OSError: it cannot be read, is no regular file, or is longer.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if status.st_size > limit_bytes:
            raise OSError(errno.EFBIG, f"its {status.st_size} bytes are over the limit of {limit_bytes}", str(path))
        return file.read(limit_bytes)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
