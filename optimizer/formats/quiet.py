"""Keeping frameworks' chatter from the user's terminal while they work."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

from contracts.telemetry import forbid_telemetry


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what libraries print, warn and log (below errors) inside the block; exceptions pass.

    Native code's own lines on the error stream are swallowed too, and runtimes imported inside report to nobody.
    """
    forbid_telemetry()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            _native_errors_dropped(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _native_errors_dropped() -> Iterator[None]:
    """Point the error stream of native code at nothing inside the block."""
    try:
        kept = os.dup(2)
    except OSError:  # no error stream: nothing to drop
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
