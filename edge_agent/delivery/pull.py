"""One run of asking for an artifact's missing chunks and taking them; its counters are forgotten with it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.chunks import BITMAP_LIMIT_BITS, ChunkAnswer, ChunkRequest, bitmap
from contracts.ids import Digest
from edge_agent.delivery.courier import Interrupted
from edge_agent.delivery.detour import Detour
from edge_agent.delivery.pace import Pace
from edge_agent.delivery.window import Window
from edge_agent.errors import ChunkMismatch, ChunksRefused, NothingArrives

if TYPE_CHECKING:
    from edge_agent.clock import Clock
    from edge_agent.delivery.courier import Courier
    from edge_agent.delivery.detour import ChunkLine
    from edge_agent.delivery.partial import Partial

WRONG_CHUNKS_LIMIT = 3
REFUSALS_LIMIT = 3
LONGEST_LOOK_S = 30.0
SHORTEST_LOOK_S = 0.001

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How an artifact is pulled: bytes a second (0: no bound), chunks at once at most, and who is told what.

    After so many ``silences`` in a row nobody waits any longer (0: however many).
    """

    bytes_s: int
    credit: int
    progress: Progress
    warn: Callable[[str], None]
    silences: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is pulled: the digest of its chunk index, and what it is called."""

    index: Digest
    name: str


class Pull:
    """The run."""

    def __init__(
        self,
        parcel: Parcel,
        partial: Partial,
        *,
        courier: Courier,
        clock: Clock,
        line: ChunkLine | None,
        terms: Terms,
    ) -> None:
        self._parcel = parcel
        self._partial = partial
        self._courier = courier
        self._clock = clock
        self._line = line
        self._terms = terms
        now_s = clock.monotonic_s()
        self._todo = deque(sorted(partial.wanted().values()))
        self._window = Window(courier.first_timeout(), most=terms.credit)
        self._pace = Pace(bytes_s=terms.bytes_s, started_s=now_s)
        self._detour = Detour(started_s=now_s)
        self._session = courier.sessions
        self._pace_due_s: float | None = None
        self._wrong: Counter[int] = Counter()
        self._refusals = 0
        self._silences = 0

    def run(self) -> None:
        """Ask and take until nothing is missing; what was put is synced also where that is interrupted."""
        self._courier.expect_chunks(on=True)
        try:
            while self._partial.done < self._partial.total:
                self._take_turn()
        except Interrupted:
            self._partial.sync()
            raise
        finally:
            self._courier.expect_chunks(on=False)
            self._partial.close()
        self._partial.sync()

    def _take_turn(self) -> None:
        now_s = self._clock.monotonic_s()
        self._give_up_what_is_lost(now_s)
        if self._line is not None and self._detour.begins(now_s=now_s):
            self._terms.warn(
                f"the broker gives too little of {self._parcel.name}; its chunks are fetched over HTTPS meanwhile: "
                "look at the broker, and at who is between it and this device"
            )
        if self._detour.is_on and self._line is not None:
            self._go_round(self._line, now_s)
        else:
            self._top_up(now_s)
        answer = self._courier.next_chunk(self._look_s())
        if answer is not None and answer.index == self._parcel.index:
            self._take(answer)
        self._partial.sync_if_due(now_s=self._clock.monotonic_s())

    def _give_up_what_is_lost(self, now_s: float) -> None:
        if self._courier.sessions != self._session:
            self._session = self._courier.sessions
            lost = self._window.lose_all()
        else:
            lost = self._window.lost(now_s=now_s)
            if lost and not self._window.flying:
                self._detour.silent()
                self._count_silence()
        self._todo.extendleft(reversed(lost))

    def _top_up(self, now_s: float) -> None:
        """Ask for as many chunks as the window, the bytes and the pace leave room for, if it is time."""
        count, room_bytes = self._window.room()
        self._pace_due_s = None
        if count and (wait_s := self._pace.wait_s(self._next_length(), now_s=now_s)) > 0:
            self._pace_due_s = now_s + wait_s
            self._detour.waited(now_s=now_s)
            return
        places = self._next_places(count, room_bytes)
        lengths = [self._partial.length(place) for place in places]
        affordable = self._pace.affordable(lengths, now_s=now_s) if places else 0
        self._todo.extendleft(reversed(places[affordable:]))
        self._ask(places[:affordable], now_s)

    def _ask(self, places: list[int], now_s: float) -> None:
        if not places:
            return
        lengths = {place: self._partial.length(place) for place in places}
        self._pace.spend(sum(lengths.values()), now_s=now_s)
        first = self._partial.first
        self._courier.ask_chunks(
            ChunkRequest(index=self._parcel.index, first=first, missing=bitmap(set(places), first), credit=len(places))
        )
        self._window.sent(lengths, now_s=now_s)

    def _next_length(self) -> int:
        while self._todo and self._partial.holds(self._todo[0]):
            self._todo.popleft()
        return self._partial.length(self._todo[0]) if self._todo else 0

    def _next_places(self, count: int, room_bytes: int) -> list[int]:
        """Take the next missing places out of the queue, in order, as many as fit."""
        places: list[int] = []
        while len(places) < count and (length := self._next_length()):
            room_bytes -= length
            if (room_bytes < 0 and self._window.flying + len(places)) or self._is_far(self._todo[0]):
                break
            places.append(self._todo.popleft())
        return sorted(places)

    def _is_far(self, place: int) -> bool:
        return place >= self._partial.first + BITMAP_LIMIT_BITS

    def _look_s(self) -> float:
        """Return how long to wait for the next message before looking at the clock again."""
        now_s = self._clock.monotonic_s()
        if self._detour.is_on:
            return 0.0
        times_s = (self._window.deadline_s(), self._partial.sync_due_s(), self._pace_due_s)
        soonest_s = min((time_s for time_s in times_s if time_s is not None), default=now_s + LONGEST_LOOK_S)
        return max(SHORTEST_LOOK_S, min(LONGEST_LOOK_S, soonest_s - now_s))

    def _take(self, answer: ChunkAnswer) -> None:
        """Accept a chunk that is missing and fits; let go of all else."""
        place = answer.place
        if answer.refusal:
            self._count_refusal(answer.refusal)
        elif not 0 <= place < self._partial.total or self._partial.holds(place):
            return
        elif self._partial.fits(place, answer.data):
            now_s = self._clock.monotonic_s()
            self._window.arrived(place, now_s=now_s)
            self._detour.arrived(len(answer.data), now_s=now_s)
            self._put(place, answer.data)
        elif self._window.holds(place):  # what was not asked for can be anybody's; it is asked for again in its time
            self._count_wrong(place, len(answer.data))

    def _put(self, place: int, data: bytes) -> None:
        self._silences = 0
        self._partial.put(place, data, now_s=self._clock.monotonic_s())
        self._terms.progress(self._partial.done, self._partial.total)

    def _go_round(self, line: ChunkLine, now_s: float) -> None:
        """Fetch one chunk the other way, at this device's pace; ask for one over MQTT now and then."""
        length = self._next_length()
        if not length:  # the last ones are on their way over MQTT
            self._todo.extendleft(reversed(self._window.lose_all()))
            return
        if (wait_s := self._pace.wait_s(length, now_s=now_s)) > 0:
            self._courier.rest(wait_s)
        if self._detour.probe_due(now_s=now_s) and not self._window.flying:
            self._ask(self._next_places(1, length), now_s)
            return
        place = self._todo.popleft()
        data = line.get(Digest(self._partial.digest(place).hex()), length)
        self._pace.spend(length, now_s=self._clock.monotonic_s())
        if data is not None and self._partial.fits(place, data):
            self._detour.gave()
            self._put(place, data)
            return
        self._todo.appendleft(place)
        self._detour.gave_nothing(now_s=self._clock.monotonic_s())
        self._count_silence()
        if data is not None:
            self._count_wrong(place, len(data))

    def _count_silence(self) -> None:
        self._silences += 1
        if self._terms.silences and self._silences >= self._terms.silences:
            raise NothingArrives(f"asked {self._silences} times for chunks of {self._parcel.name}, and none came")

    def _count_wrong(self, place: int, length: int) -> None:
        self._wrong[place] += 1
        if self._wrong[place] >= WRONG_CHUNKS_LIMIT:
            raise ChunkMismatch(
                f"chunk {place} of {self._partial.total} of {self._parcel.name} came {self._wrong[place]} times with "
                f"other bytes than the signed index states ({length} of {self._partial.length(place)} bytes the last "
                "time); the server's copy is damaged or forged: restore its vault from a backup, or publish the model "
                "as a new version"
            )

    def _count_refusal(self, word: str) -> None:
        self._refusals += 1
        if self._refusals >= REFUSALS_LIMIT:
            raise ChunksRefused(
                f"the server refuses the chunks of {self._parcel.name}: {word}; "
                "check that the release is still on offer"
            )
        self._todo.extendleft(reversed(self._window.lose_all()))
        self._courier.rest(self._courier.patience.after(self._refusals))
