"""SIGKILL to the agent, the server or the broker at fifty random moments of 20 MB downloads: nothing is lost.

What was verified is never asked for again; only what the agent had not synced yet when it was killed, a second's
worth, may be. A witness on the wire sees every request; what is verified, and what is synced, the device's disk says.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from math import inf
from pathlib import Path

import pytest

from contracts.chunks import DEFAULT_CHUNK_BYTES, MAX_CHUNK_BYTES, ChunkIndex, cut, places
from contracts.codec import encode
from contracts.ids import Digest, ReleaseId, digest_of
from contracts.update import UpdateState
from edge_agent.delivery.partial import SYNC_BYTES, SYNC_S
from edge_agent.disk import SystemDisk
from edge_agent.state_folder import StateFolder
from edge_agent.update.journal import Journal
from edgeship.demo.narration import wait_until
from fleet_server.rollouts.states import RolloutState
from tests.builders import TinyModel
from tests.long.rig import MODEL, Rig, RigAgent, rig
from tests.long.witness import Published, Witness, path_with_room_for_a_witness, watching
from tests.slow import record, seed

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.system]

ROUNDS = 10
KILLS_A_ROUND = 5
VICTIMS = ("agent", "server", "broker")
HIDDEN = 416_000
"""Makes an artifact of 20 MB."""
DOWNLOADS_S = (4.0, 8.0, 16.0)
"""How long a download lasts if nobody is killed: one of these, drawn for each."""
LAST_FRACTION = 0.92
LONGEST_PAUSE = 1.3
"""In times from sync to sync, since progress is only seen when one was made."""
PATIENCE_S = 240.0
ON_THE_WIRE_S = 1.0
"""How long a request from before a kill may need to reach the witness."""
LATE_S = 2.0
"""How late a busy machine may take a chunk that the witness saw, or see that a sync is due."""

MISSED_AT_MOST = 0.2
"""Of all chunks, by the witness: those that came over HTTPS while the broker gave nothing (a minute of it is enough for
60 of 2,000). If it saw little the test would say little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How one release's artifact travels: its index, and the digest that requests name it by."""

    index: ChunkIndex
    name: Digest

    @classmethod
    def of(cls, artifact: Path) -> Cut:
        """Return how the signer cut it."""
        index = cut(artifact.read_bytes(), DEFAULT_CHUNK_BYTES)
        return cls(index=index, name=digest_of(encode(index)))


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """The places of one artifact that the device marked as synced, and those whose bytes are really there."""

    synced: frozenset[int]
    written: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Who was killed when, and what lay on the device then: just before; of a killed agent, just after."""

    victim: str
    at_s: float
    cut: Cut
    disk: OnDisk

    @property
    def kept(self) -> frozenset[int]:
        """What must never be asked for again: a running agent knows also what it has not synced yet."""
        return self.disk.synced if self.victim == "agent" else self.disk.synced | self.disk.written

    @property
    def lost(self) -> frozenset[int]:
        """What a killed agent had verified and not synced: where the machine lives on, it is found again."""
        return self.disk.written - self.disk.synced if self.victim == "agent" else frozenset()

    @property
    def lost_bytes(self) -> int:
        """How many bytes that was."""
        return sum(self.cut.index.lengths[place] for place in self.lost)


@dataclass(slots=True, kw_only=True)
class Chaos:
    """The fleet, who is killed when in it, and what came of it."""

    rig: Rig
    agent: RigAgent
    witness: Witness
    chance: random.Random
    kills: list[Kill] = field(default_factory=list)
    moments: Counter[str] = field(default_factory=Counter)
    begun: set[Digest] = field(default_factory=set)
    longest_s: float = 0.0

    def go_through_all(self, releases: Sequence[ReleaseId], cuts: Sequence[Cut]) -> None:
        """Roll out one release after the other; after each of them device and server must say the same."""
        draw = drawn_victims(self.chance)
        for release, one in zip(releases, cuts, strict=True):
            self.go_through(release, one, draw())
            told = wait_until(partial(self.knows_the_truth, release), patience_s=60.0)
            assert told, (release, self.rig.client.device(self.agent.device.id).running)

    def go_through(self, release: ReleaseId, one: Cut, victims: list[str]) -> None:
        """Roll the release out, killing each victim at its own random moment of the throttled download."""
        started = time.monotonic()
        bytes_s = int(sum(one.index.lengths) / self.chance.choice(DOWNLOADS_S))
        rollout = self.rig.roll_out(release, max_bytes_s=bytes_s)
        fractions = sorted(self.chance.uniform(0.0, LAST_FRACTION) for _ in victims)
        for victim, fraction in zip(victims, fractions, strict=True):
            came = wait_until(partial(self.has_come_to, fraction, one), patience_s=PATIENCE_S, pause_s=0.05)
            assert came, f"{release} is stuck before {fraction:.0%}: {self.agent.running.last_line()}"
            time.sleep(self.chance.uniform(0.0, LONGEST_PAUSE) * min(SYNC_S, SYNC_BYTES / bytes_s))
            self._kill(victim, one)
        view = self.rig.follow(rollout, patience_s=PATIENCE_S)
        self.longest_s = max(self.longest_s, time.monotonic() - started)
        (part,) = view.devices
        assert (view.state, part.state) == (RolloutState.COMPLETED, UpdateState.HEALTHY), (victims, view)

    def has_come_to(self, fraction: float, one: Cut) -> bool:
        """Return whether at least that much of the artifact is synced, or all of it went into a slot."""
        home = self._home(one)
        if not home.exists():
            return one.name in self.begun
        self.begun.add(one.name)
        return len(marked(home)) >= fraction * len(one.index.lengths)

    def knows_the_truth(self, release: ReleaseId) -> bool:
        """Return whether agent and server say the same: this release runs."""
        recorded = self.rig.client.device(self.agent.device.id).running
        return dict(recorded) == {MODEL: release} and self.rig.served_release(self.agent) == release

    def _home(self, one: Cut) -> Path:
        return StateFolder(self.agent.state).fetch / one.name

    def _kill(self, victim: str, one: Cut) -> None:
        self.moments[Journal(StateFolder(self.agent.state).journal, SystemDisk()).read().state] += 1
        disk = on_disk(self._home(one), one.index)
        at_s = time.monotonic()
        if victim == "agent":
            self.agent.running.kill()
            disk = on_disk(self._home(one), one.index)
            self.rig.start_agent(self.agent)
        elif victim == "server":
            self.rig.kill_server()
            self.rig.start_server()
        else:
            assert wait_until(self._broker_runs, patience_s=PATIENCE_S), "the server did not start its broker again"
            at_s = time.monotonic()
            self.rig.kill_broker()
        self.kills.append(Kill(victim=victim, at_s=at_s, cut=one, disk=disk))

    def _broker_runs(self) -> bool:
        command = Path(f"/proc/{self.rig.broker_pid}/cmdline")
        return command.exists() and b"mosquitto" in command.read_bytes()


@pytest.fixture
def chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chaos]:
    monkeypatch.setenv("PATH", path_with_room_for_a_witness(tmp_path / "bin"))
    with rig(tmp_path) as made:
        agent = made.add_agent("pi-1", sketch_window_s=3600.0)
        with watching(Witness(data=made.data, device=agent.device.id)) as witness:
            yield Chaos(rig=made, agent=agent, witness=witness, chance=random.Random(seed()))


def drawn_victims(chance: random.Random) -> Callable[[], list[str]]:
    """Return a drawer of victims: shuffled, each kind as often as the others."""
    deck = [VICTIMS[place % len(VICTIMS)] for place in range(ROUNDS * KILLS_A_ROUND)]
    chance.shuffle(deck)
    return lambda: [deck.pop() for _ in range(KILLS_A_ROUND)]


def marked(home: Path) -> frozenset[int]:
    """Return the places that the half-fetched artifact's bitmap names; none where there is no bitmap."""
    try:
        return frozenset(places((home / "verified").read_bytes(), 0))
    except FileNotFoundError:
        return frozenset()


def on_disk(home: Path, index: ChunkIndex) -> OnDisk:
    """Return what really lies in the half-fetched artifact: the bitmap is read first, the data after it."""
    synced = marked(home)
    try:
        data = (home / "data").read_bytes()
    except FileNotFoundError:
        return OnDisk(synced=frozenset(), written=frozenset())
    starts = accumulate(index.lengths, initial=0)
    found = zip(starts, index.lengths, index.digests)  # noqa: B905 (accumulate ends with one more: the file's length)
    digests = (hashlib.sha256(data[start : start + length]).digest() == digest for start, length, digest in found)
    return OnDisk(synced=synced, written=frozenset(place for place, good in enumerate(digests) if good))


def asked_in_vain(chaos: Chaos) -> list[tuple[str, int]]:
    """Return victim and place of each chunk that was asked for though a kill had left it on the device for good."""
    return [(kill.victim, place) for kill in chaos.kills for place in kill.kept & asked_after(chaos, kill)]


def ages_of_the_refetched(chaos: Chaos) -> list[float]:
    """Return the seconds between coming and kill of each chunk that a killed agent held unsynced and asked for again."""
    return [
        kill.at_s - max((one.at_s for one in chaos.witness.published if is_it(one, kill, place)), default=kill.at_s)
        for kill in chaos.kills
        for place in kill.lost & asked_after(chaos, kill)
    ]


def asked_after(chaos: Chaos, kill: Kill) -> frozenset[int]:
    """Return the places that were asked for after the kill, before the agent was killed again if it was."""
    again_s = min((one.at_s for one in chaos.kills if one.victim == "agent" and one.at_s > kill.at_s), default=inf)
    return frozenset(
        place
        for asked in chaos.witness.asked
        if asked.index == kill.cut.name and kill.at_s + ON_THE_WIRE_S < asked.at_s < again_s
        for place in asked.places
    )


def is_it(one: Published, kill: Kill, place: int) -> bool:
    """Return whether that chunk of the killed agent's artifact was published before the kill."""
    return (one.index, one.place) == (kill.cut.name, place) and one.at_s < kill.at_s


def tell(chaos: Chaos, cuts: Sequence[Cut]) -> None:
    """Record what came of it."""
    published, transfers = chaos.witness.published, chaos.rig.client.transfers(chaos.agent.device.id)
    asked = Counter((one.index, place) for one in chaos.witness.asked for place in one.places)
    needed_bytes = sum(sum(one.index.lengths) for one in cuts)
    record("kills", dict(Counter(kill.victim for kill in chaos.kills)))
    record("state at the kill", dict(chaos.moments))
    record("chunks", sum(len(one.index.lengths) for one in cuts))
    record("chunks that did not pass the broker", len(missed(chaos, cuts)))
    record("chunks asked for again", sum(asked.values()) - len(asked))
    record("of them verified and synced", len(asked_in_vain(chaos)))
    record("of them verified and not synced when the agent was killed", len(ages_of_the_refetched(chaos)))
    record("not synced when the agent was killed", sum(len(kill.lost) for kill in chaos.kills))
    record("at most bytes of it", max(kill.lost_bytes for kill in chaos.kills))
    record("bytes published over needed", round(sum(one.length for one in published) / needed_bytes, 4))
    record("as a server counts that is killed", round(sum(one.published_bytes for one in transfers) / needed_bytes, 4))
    record("slowest update s", round(chaos.longest_s, 1))


def missed(chaos: Chaos, cuts: Sequence[Cut]) -> set[tuple[Digest, int]]:
    """Return the chunks that the witness never saw: they came over HTTPS, or while it was away."""
    seen = {(one.index, one.place) for one in chaos.witness.published}
    return {(one.name, place) for one in cuts for place in range(len(one.index.lengths))} - seen


def test_downloads_survive_fifty_kills(chaos: Chaos) -> None:
    models = [TinyModel(hidden=HIDDEN, seed=100 + number) for number in range(ROUNDS)]
    releases = chaos.rig.release(models, chunk_bytes=DEFAULT_CHUNK_BYTES)
    cuts = [Cut.of(chaos.rig.folder / f"{1 + number}.artifact") for number in range(ROUNDS)]

    chaos.go_through_all(releases, cuts)

    tell(chaos, cuts)
    transfers = chaos.rig.client.transfers(chaos.agent.device.id)
    assert len(chaos.kills) == ROUNDS * KILLS_A_ROUND
    assert asked_in_vain(chaos) == []
    assert [one.repeated_verified for one in transfers] == [0] * ROUNDS
    assert max(kill.lost_bytes for kill in chaos.kills) <= SYNC_BYTES + MAX_CHUNK_BYTES
    assert max(ages_of_the_refetched(chaos), default=0.0) <= SYNC_S + LATE_S
    assert len(missed(chaos, cuts)) <= MISSED_AT_MOST * len(chaos.witness.published)
