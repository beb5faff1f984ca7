"""Time as a parameter: what decides takes a ``Clock``; only the supervisor makes a ``SystemClock``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how long something took."""

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that only ever grow; differences of it are durations."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return the monotonic clock in seconds."""
        return time.monotonic()
