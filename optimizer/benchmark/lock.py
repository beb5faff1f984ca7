"""One measurement at a time: a lock file that the system releases when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from optimizer.errors import MeasureFailed

_MACHINE_LOCK = "edgeship-measuring.lock"
WAITING = "waiting for another measurement on this machine to end"


@contextlib.contextmanager
def machine_to_oneself(told: Callable[[str], None]) -> Iterator[None]:
    """Hold this machine's measuring lock inside the block, for every user and folder; wait for it if need be.

    Args:
        told: called with a sentence once if there is somebody to wait for.

    Raises:
        MeasureFailed: the lock file cannot be opened.
    """
    with exclusive(Path(tempfile.gettempdir()) / _MACHINE_LOCK, told):
        yield


@contextlib.contextmanager
def exclusive(path: Path, told: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of that file inside the block; wait for it if need be.

    Args:
        path: the lock file; made where it is missing, and left there.
        told: called with a sentence once if there is somebody to wait for.

    Raises:
        MeasureFailed: the lock file cannot be opened.
    """
    lock = _opened(path)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told(WAITING)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _opened(path: Path) -> int:
    """Return the open lock file; another user's, where there is one (a shared folder may let us read it only)."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with contextlib.suppress(PermissionError):
            return os.open(path, flags | os.O_CREAT, 0o644)
        return os.open(path, flags)
    except OSError as error:
        raise MeasureFailed(
            f"cannot open the lock file {path} ({error.strerror}); remove it, or make it readable for you"
        ) from error
