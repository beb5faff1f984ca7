"""How fast a device may pull: a token bucket that fills with time.

>>> pace = Pace(bytes_s=1000, started_s=0.0)
>>> pace.wait_s(500, now_s=0.0)
0.5
>>> pace.spend(500, now_s=0.5)
>>> pace.wait_s(500, now_s=1.0)
0.0
"""

from __future__ import annotations

from contracts.chunks import MAX_CHUNK_BYTES

BURST_S = 0.25


class Pace:
    """At most ``bytes_s`` bytes a second (0: no bound), in bursts of a quarter of a second or one chunk."""

    def __init__(self, *, bytes_s: int, started_s: float) -> None:
        self._bytes_s = bytes_s
        self._filled_at_s = started_s
        self._room = max(bytes_s * BURST_S, float(MAX_CHUNK_BYTES))
        self._tokens = 0.0

    def wait_s(self, length: int, *, now_s: float) -> float:
        """Return the seconds until that many bytes may be asked for."""
        if not self._bytes_s:
            return 0.0
        return max(0.0, (length - self._level(now_s)) / self._bytes_s)

    def affordable(self, lengths: list[int], *, now_s: float) -> int:
        """Return how many of the chunks, from the first on, may be asked for now; at least one."""
        if not self._bytes_s:
            return len(lengths)
        left, count = self._level(now_s), 0
        for length in lengths:
            left -= length
            if left < 0:
                break
            count += 1
        return max(1, count)

    def spend(self, length: int, *, now_s: float) -> None:
        """Count the bytes as asked for."""
        self._tokens = self._level(now_s) - length
        self._filled_at_s = now_s

    def _level(self, now_s: float) -> float:
        return min(self._room, self._tokens + (now_s - self._filled_at_s) * self._bytes_s)
