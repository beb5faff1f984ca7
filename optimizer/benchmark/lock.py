"""One measurement at a time on this machine, whoever measures."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from optimizer.errors import MeasureFailed
from optimizer.exclusive import exclusive
from optimizer.telling import Told

WAITING: Final = "waiting for another measurement on this machine to end"
_MACHINE_LOCK: Final = "edgeship-measuring.lock"


@contextlib.contextmanager
def machine_to_oneself(told: Told) -> Iterator[None]:
    """Hold this machine's measuring lock inside the block, for every user and folder; wait for it if need be.

    Args:
        told: called with a sentence once if there is somebody to wait for.

    Raises:
        MeasureFailed: the lock file cannot be opened.
    """
    path = Path(tempfile.gettempdir()) / _MACHINE_LOCK
    with exclusive(path, error=MeasureFailed, waiting=lambda: told(WAITING)):
        yield
