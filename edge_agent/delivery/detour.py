"""The way round a broker that is down or drips: the same chunks over HTTPS, until MQTT lives again [wire-5.9].

MQTT is given up after ``SILENCES`` silences in a row, or a minute with fewer than ``LEAST_BYTES`` good bytes. While the
device fetches over HTTPS it asks over MQTT for one chunk now and then: the first good one that comes that way ends
the detour. Where HTTPS gives nothing either, it is left alone for a while, longer each time.

>>> detour = Detour(started_s=0.0)
>>> for _ in range(SILENCES):
...     detour.silent()
>>> detour.begins(now_s=40.0), detour.is_on
(True, True)
>>> detour.arrived(65_536, now_s=41.0)
>>> detour.is_on
False
"""

from __future__ import annotations

from typing import Protocol

from contracts.ids import Digest

SILENCES = 3
LEAST_BYTES = 16 * 1024
MINUTE_S = 60.0
PROBE_S = 30.0
FIRST_REST_S = 30.0
LONGEST_REST_S = 900.0


class ChunkLine(Protocol):
    """A second way to the chunks."""

    def get(self, digest: Digest, length: int) -> bytes | None:
        """Return what is there under that digest, at most ``length`` bytes and one more; None where nothing came."""
        ...


class Detour:
    """Whether chunks are fetched the other way."""

    def __init__(self, *, started_s: float) -> None:
        self._is_on = False
        self._silences = 0
        self._bytes = 0
        self._minute_began_s = started_s
        self._probe_at_s = started_s
        self._closed_until_s = started_s
        self._rest_s = FIRST_REST_S

    @property
    def is_on(self) -> bool:
        """Whether the other way is taken."""
        return self._is_on

    def silent(self) -> None:
        """Note that nothing came over MQTT for as long as a timeout."""
        self._silences += 1

    def arrived(self, length: int, *, now_s: float) -> None:
        """Note a good chunk over MQTT: it lives."""
        self._is_on = False
        self._silences = 0
        self._look_at_the_minute(now_s)
        self._bytes += length

    def waited(self, *, now_s: float) -> None:
        """Note that nothing was asked for until now: the minute begins anew."""
        self._minute_began_s, self._bytes = now_s, 0

    def begins(self, *, now_s: float) -> bool:
        """Take the other way where MQTT gives too little; return whether that begins now."""
        drips = self._look_at_the_minute(now_s)
        if self._is_on or now_s < self._closed_until_s or not (drips or self._silences >= SILENCES):
            return False
        self._is_on, self._probe_at_s = True, now_s + PROBE_S
        return True

    def probe_due(self, *, now_s: float) -> bool:
        """Whether to ask for a chunk over MQTT now; if so, the next time is a while later."""
        if now_s < self._probe_at_s:
            return False
        self._probe_at_s = now_s + PROBE_S
        return True

    def gave(self) -> None:
        """Note that a good chunk came the other way."""
        self._rest_s = FIRST_REST_S

    def gave_nothing(self, *, now_s: float) -> None:
        """End the detour and leave the other way alone for a while."""
        self._is_on, self._silences = False, 0
        self._closed_until_s = now_s + self._rest_s
        self._rest_s = min(LONGEST_REST_S, self._rest_s * 2)
        self.waited(now_s=now_s)

    def _look_at_the_minute(self, now_s: float) -> bool:
        """Return whether a whole minute has passed with too few bytes; a minute that is over begins anew."""
        if now_s - self._minute_began_s < MINUTE_S:
            return False
        drips = self._bytes < LEAST_BYTES
        self.waited(now_s=now_s)
        return drips
