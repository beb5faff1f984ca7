"""A clock that a test owns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class FakeClock:
    """Implements ``edge_agent.clock.Clock``; time passes when ``pass_s`` is called, and only then."""

    def __init__(self, at: datetime = START) -> None:
        self._at = at
        self._elapsed_s = 0.0
        self._planned: list[tuple[float, Callable[[], object]]] = []

    def now(self) -> datetime:
        return self._at

    def monotonic_s(self) -> float:
        return self._elapsed_s

    def pass_s(self, seconds: float) -> None:
        self._elapsed_s += seconds
        self._at += timedelta(seconds=seconds)
        due = [plan for plan in self._planned if plan[0] <= self._elapsed_s]
        self._planned = [plan for plan in self._planned if plan[0] > self._elapsed_s]
        for _, happen in due:
            happen()

    def on_pass(self, after_s: float, happen: Callable[[], object]) -> None:
        """Let something happen once so many more seconds have passed."""
        self._planned.append((self._elapsed_s + after_s, happen))
