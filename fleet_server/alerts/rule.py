"""When a drift alert opens and when it clears: hysteresis, so that it does not flicker.

Pure. A *look* is the verdict over one block of a device's windows; looks do not share windows. An
alert opens at the newest look that moved, and clears when CLEAR_AFTER looks in a row, the newest
ones, are quiet. Between the two nothing changes. The test behind a look is strict enough to open at
once: ``drift.watch`` spends its chance of error over a thousand looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from contracts.retrain import MovedFeature

CLEAR_AFTER = 3


class Change(StrEnum):
    """What becomes of the alert."""

    OPEN = "open"
    CLEAR = "clear"
    NONE = "none"


def next_change(looks: Sequence[tuple[MovedFeature, ...]], *, is_open: bool) -> Change:
    """Return what the looks, newest first, do to the alert of that device and release."""
    if not is_open:
        return Change.OPEN if looks and looks[0] else Change.NONE
    newest = looks[:CLEAR_AFTER]
    return Change.CLEAR if len(newest) == CLEAR_AFTER and not any(newest) else Change.NONE
