"""What is being done, of how much, and about how long it will still take: on stderr."""

from __future__ import annotations

import sys
import time


class Progress:
    """Says on stderr what is being done, of how much, and about how long it will still take."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = -1
        self._started = time.monotonic()
        self._model = ""

    def begin(self, model: str) -> None:
        """Begin the next model."""
        self._done += 1
        self._model = model
        self.say("begins")

    def say(self, what: str) -> None:
        """Say what is done with it now."""
        taken = time.monotonic() - self._started
        left = f", about {taken / self._done * (self._count - self._done) / 60:.0f} min left" if self._done > 0 else ""
        print(f"[{self._done + 1}/{self._count}{left}] {self._model}: {what}", file=sys.stderr, flush=True)
