"""One holder at a time: a file that the system lets go of when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from optimizer.errors import OptimizerError


@contextlib.contextmanager
def exclusive(path: Path, *, error: type[OptimizerError], waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the file inside the block; wait for whoever holds it.

    Args:
        path: the file; made where it is missing, and left there.
        error: what is raised where it cannot be opened.
        waiting: called once if there is somebody to wait for.

    Raises:
        OptimizerError: of the given class: the file cannot be opened.
    """
    held = _opened(path, error)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _opened(path: Path, error: type[OptimizerError]) -> int:
    """Return the open file; another user's, where there is one (a shared folder may let us read it only)."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with contextlib.suppress(PermissionError):
            return os.open(path, flags | os.O_CREAT, 0o644)
        return os.open(path, flags)
    except OSError as raised:
        raise error(
            f"cannot open the lock file {path} ({raised.strerror}); remove it, or make it readable for you"
        ) from raised
