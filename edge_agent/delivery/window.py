"""How much is on its way at once, and when it counts as lost: bookkeeping over places, bytes and times.

A window starts at two chunks, doubles when as many as it holds have come without a loss, and halves at a loss. What
is on its way is in nobody's next request [wire-5.8]. A link and a broker keep the order, so a chunk is late only where
its own time has passed and either nothing at all came for as long, or one that was asked for after it did come. That
time is TCP's (RFC 6298): the smoothed round trip and four times its deviation, measured on this link, about doubled at
each silence.

>>> window = Window(Timeout(first_s=5.0, chance=random.Random(7)), most=16)
>>> window.sent({0: 65_536, 1: 65_536}, now_s=0.0)
>>> window.arrived(0, now_s=0.5), window.arrived(1, now_s=0.6), window.size, window.flying
(None, None, 4, 0)
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

START = 2
MOST_BYTES = 1024 * 1024
"""On its way at once, whatever the chunks' sizes: what the agent may have to hold."""
LEAST_TIMEOUT_S = 3.0
"""Even on a fast link: TCP itself may take so long over a packet that it lost several times."""
LONGEST_BACKOFF_S = 60.0
LONG_QUEUE_S = 10.0
"""Where a chunk takes so long to come, a larger window would only make all else wait behind it for longer."""


class Timeout:
    """How long to wait for a chunk; ``first_s`` where nothing was measured yet."""

    def __init__(self, *, first_s: float, chance: random.Random) -> None:
        self._first_s = first_s
        self._chance = chance
        self._smoothed_s: float | None = None
        self._deviation_s = 0.0
        self._backoff = 1.0

    @property
    def round_trip_s(self) -> float:
        """The smoothed round trip; 0 where nothing was measured yet."""
        return self._smoothed_s or 0.0

    @property
    def after_s(self) -> float:
        """Seconds after which a silence means a loss."""
        if self._smoothed_s is None:
            base_s = self._first_s
        else:
            base_s = max(min(LEAST_TIMEOUT_S, self._first_s), self._smoothed_s + 4.0 * self._deviation_s)
        return min(base_s * self._backoff, max(base_s, LONGEST_BACKOFF_S))

    def measured(self, round_trip_s: float) -> None:
        """Take one round trip into account; there is no silence any more."""
        if self._smoothed_s is None:
            self._smoothed_s, self._deviation_s = round_trip_s, round_trip_s / 2
        else:
            self._deviation_s += (abs(self._smoothed_s - round_trip_s) - self._deviation_s) / 4
            self._smoothed_s += (round_trip_s - self._smoothed_s) / 8
        self._backoff = 1.0

    def expired(self) -> None:
        """Wait about twice as long from now on: not all devices of a fleet ask again at the same moment."""
        self._backoff = min(self._backoff * self._chance.uniform(1.6, 2.4), 1e6)


@dataclass(frozen=True, slots=True)
class _Flight:
    length: int
    asked_s: float
    request: int
    again: bool


class Window:
    """What was asked for and has not come yet."""

    def __init__(self, timeout: Timeout, *, most: int) -> None:
        self._timeout = timeout
        self._most = most
        self._size = min(START, most)
        self._flights: dict[int, _Flight] = {}
        self._late: set[int] = set()
        self._request = 0
        self._newest_answered = 0
        self._heard_s = 0.0
        self._clean = 0

    @property
    def size(self) -> int:
        """How many chunks may be on their way."""
        return self._size

    @property
    def flying(self) -> int:
        """How many are."""
        return len(self._flights)

    def holds(self, place: int) -> bool:
        """Whether that chunk is on its way."""
        return place in self._flights

    def room(self) -> tuple[int, int]:
        """Return how many chunks, and bytes, may be asked for now: none before half of the window has come."""
        if self.flying * 2 > self._size:
            return 0, 0
        return self._size - self.flying, MOST_BYTES - sum(flight.length for flight in self._flights.values())

    def sent(self, lengths: Mapping[int, int], *, now_s: float) -> None:
        """Note one request for those places, with their bytes."""
        self._request += 1
        for place, length in lengths.items():
            self._flights[place] = _Flight(length, now_s, self._request, place in self._late)

    def arrived(self, place: int, *, now_s: float) -> None:
        """Note that a good chunk came; the window grows once a whole one did."""
        self._heard_s = now_s
        flight = self._flights.pop(place, None)
        if flight is None:
            return
        self._newest_answered = max(self._newest_answered, flight.request)
        if not flight.again:  # else nobody knows which of the two requests was answered
            self._timeout.measured(now_s - flight.asked_s)
        self._clean += 1
        if self._clean >= self._size and self._timeout.round_trip_s < LONG_QUEUE_S:
            self._size, self._clean = min(self._most, self._size * 2), 0

    def lost(self, *, now_s: float) -> list[int]:
        """Return the places whose time has passed, in order; they are on their way no more, the window is halved."""
        after_s = self._timeout.after_s
        late = sorted(place for place, flight in self._flights.items() if now_s >= self._since_s(flight) + after_s)
        if late:
            if all(self._flights[place].request >= self._newest_answered for place in late):
                self._timeout.expired()
            self._forget(late)
            self._size, self._clean = max(1, self._size // 2), 0
        return late

    def lose_all(self) -> list[int]:
        """Return all that was on its way, in order: the session that it was asked in has ended."""
        late = sorted(self._flights)
        self._forget(late)
        self._size, self._clean = min(START, self._most), 0
        return late

    def deadline_s(self) -> float | None:
        """Return when the next chunk will count as lost; None where nothing is on its way."""
        since_s = min(map(self._since_s, self._flights.values()), default=None)
        return None if since_s is None else since_s + self._timeout.after_s

    def _since_s(self, flight: _Flight) -> float:
        """Return since when that chunk is waited for."""
        overtaken = flight.request < self._newest_answered
        return flight.asked_s if overtaken else max(flight.asked_s, self._heard_s)

    def _forget(self, places: list[int]) -> None:
        for place in places:
            del self._flights[place]
        self._late.update(places)
