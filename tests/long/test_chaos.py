"""SIGKILL to the agent, the server or the broker at twenty random moments: every update still ends healthy."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from contracts.chunks import cut
from contracts.ids import ReleaseId
from contracts.update import UpdateState
from edgeship.demo.narration import wait_until
from edgeship.demo.releasing import CHUNK_BYTES
from fleet_server.rollouts.states import RolloutState
from tests.builders import TinyModel
from tests.long.rig import MODEL, Rig, RigAgent, rig
from tests.slow import record, seed

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.system]

ROUNDS = 10
KILLS_A_ROUND = 2
DOWNLOAD_S = 5.0
PATIENCE_S = 120.0
LEAST_CHUNKS = 40
VICTIMS = ("agent", "server", "broker")


@dataclass(slots=True, kw_only=True)
class Chaos:
    """Who is killed when, and what came of it."""

    rig: Rig
    agent: RigAgent
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0

    def go_through(self, release: ReleaseId, victims: list[str], *, bytes_s: int) -> None:
        """Roll the release out, killing each victim at its own random moment of the throttled download."""
        started = time.monotonic()
        rollout = self.rig.roll_out(release, max_bytes_s=bytes_s)
        for victim in victims:
            time.sleep(self.chance.uniform(0.0, DOWNLOAD_S / len(victims)))
            self.moments[self.rig.client.rollout(rollout).devices[0].state] += 1
            self._kill(victim)
        view = self.rig.follow(rollout, patience_s=PATIENCE_S)
        self.longest_s = max(self.longest_s, time.monotonic() - started)
        (part,) = view.devices
        assert (view.state, part.state) == (RolloutState.COMPLETED, UpdateState.HEALTHY), (victims, view)

    def go_through_all(self, releases: list[ReleaseId], *, bytes_s: int) -> None:
        """Roll out one release after the other; after each of them device and server must say the same."""
        draw = drawn_victims(self.chance)
        for release in releases:
            self.go_through(release, draw(), bytes_s=bytes_s)
            told = wait_until(partial(self.knows_the_truth, release), patience_s=30.0)
            assert told, (release, self.rig.client.device(self.agent.device.id).running)

    def knows_the_truth(self, release: ReleaseId) -> bool:
        """Return whether agent and server say the same: this release runs."""
        recorded = self.rig.client.device(self.agent.device.id).running
        return dict(recorded) == {MODEL: release} and self.rig.served_release(self.agent) == release

    def _kill(self, victim: str) -> None:
        self.kills[victim] += 1
        if victim == "agent":
            self.agent.running.kill()
            self.rig.start_agent(self.agent)
        elif victim == "server":
            self.rig.kill_server()
            self.rig.start_server()
        else:
            self.rig.kill_broker()


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    with rig(tmp_path) as made:
        agent = made.add_agent("pi-1", sketch_window_s=3600.0)
        yield Chaos(rig=made, agent=agent, chance=random.Random(seed()))


def drawn_victims(chance: random.Random) -> Callable[[], list[str]]:
    """Return a drawer of victims: shuffled, each kind as often as the others."""
    deck = [VICTIMS[place % len(VICTIMS)] for place in range(ROUNDS * KILLS_A_ROUND)]
    chance.shuffle(deck)
    return lambda: [deck.pop() for _ in range(KILLS_A_ROUND)]


def test_updates_survive_twenty_kills(chaos: Chaos) -> None:
    models = [TinyModel(hidden=2200, seed=100 + number) for number in range(ROUNDS)]
    releases = chaos.rig.release(models)
    artifact = (chaos.rig.folder / "1.artifact").read_bytes()
    chunks = len(cut(artifact, CHUNK_BYTES).digests)

    chaos.go_through_all(releases, bytes_s=int(len(artifact) / DOWNLOAD_S))

    transfers = chaos.rig.client.transfers(chaos.agent.device.id)
    record("kills", dict(chaos.kills))
    record("state at the kill", dict(chaos.moments))
    record("chunks", chunks)
    record("chunks asked for beyond need", sum(max(0, one.requested - one.chunks) for one in transfers))
    record("slowest update s", round(chaos.longest_s, 1))
    assert chunks >= LEAST_CHUNKS
    assert sum(chaos.kills.values()) == ROUNDS * KILLS_A_ROUND
    assert len(transfers) == ROUNDS
    assert [one.repeated_verified for one in transfers] == [0] * ROUNDS
