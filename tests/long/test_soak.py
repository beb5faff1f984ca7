"""Ten minutes of steady work: requests, rollouts to and fro, a broker that dies: nothing grows, fails or is lost."""

from __future__ import annotations

import http.client
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import orjson
import pytest
from sqlalchemy import Engine, select

from contracts.ids import ReleaseId, RolloutId
from edge_agent.outbox import waiting_reports
from edgeship.demo.narration import wait_until
from fleet_server.clock import SystemClock
from fleet_server.database.session import open_database, reading
from fleet_server.database.tables import InboundRow
from fleet_server.rollouts.states import RolloutState
from signing.errors import ServerError
from tests.builders import TinyModel
from tests.edge_agent.inference.running_server import json_request
from tests.long.rig import ENDED, MODEL, SERVER, Rig, rig
from tests.slow import record

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.system]

SOAK_S = float(os.environ.get("EDGESHIP_SOAK_S", "600"))
SETTLING_RATIO = 0.4
"""Share of the time, from the start, in which caches may fill; after it memory must be flat."""
FLAT_MB_A_MINUTE = 1.0
"""The bound on each process's slope: under it 60 MB an hour at the very most, over it a leak is certain."""
LOOK_S = 2.0
ROLLOUT_S = 12.0
BROKER_DEATH_S = 45.0
REQUESTS_S = 20.0
GAP_LIMIT_S = 120.0
DRAIN_S = 60.0


@dataclass(slots=True, kw_only=True)
class Requests:
    """Steady single-row requests to one agent on one connection, from one thread."""

    address: tuple[str, int]
    sent: int = 0
    failures: list[str] = field(default_factory=list)

    def send(self, stop: threading.Event) -> None:
        """Send until stopped."""
        body = orjson.dumps(json_request(TinyModel().rows(1)))
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        while not stop.wait(1.0 / REQUESTS_S):
            try:
                connection.request("POST", f"/v2/models/{MODEL}/infer", body)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            self.sent += 1
            self.failures += [] if answer.status == 200 else [f"{answer.status}: {text[:200]!r}"]
        connection.close()


@dataclass(slots=True, kw_only=True)
class Soak:
    """What goes on, and what is seen of it."""

    rig: Rig
    engine: Engine
    releases: list[ReleaseId]
    rollouts: list[RolloutId] = field(default_factory=list)
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    longest_gap: timedelta = timedelta()
    broker_deaths: int = 0
    began: float = field(default_factory=time.monotonic)

    def go_on(self) -> None:
        """Work until the time is over: look every two seconds, roll out and kill the broker at their turns."""
        next_death = BROKER_DEATH_S / 2
        while (now := self.elapsed_s) < SOAK_S:
            self.rig.processes.check_alive()
            self._look()
            if now > len(self.rollouts) * ROLLOUT_S:
                self._roll_out_next()
            if now > next_death:
                self.rig.kill_broker()
                self.broker_deaths += 1
                next_death += BROKER_DEATH_S
            time.sleep(LOOK_S)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def slopes_mb_a_minute(self) -> dict[str, float]:
        """Return how fast each process grew once it had settled: the median of the slopes of all pairs (Theil-Sen)."""
        settled = SETTLING_RATIO * SOAK_S
        late = {name: [point for point in seen if point[0] > settled] for name, seen in self.memory.items()}
        return {
            name: round(60 * statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2)), 3)
            for name, points in late.items()
        }

    def inbound(self) -> list[InboundRow]:
        """Return how far the server heard each boot of each device."""
        with reading(self.engine) as session:
            return list(session.scalars(select(InboundRow)).all())

    def ended(self) -> list[RolloutState]:
        """Return the states of all rollouts."""
        return [self.rig.client.rollout(rollout).state for rollout in self.rollouts]

    def drained(self) -> bool:
        """Return whether no report waits on any device and the server knows of no gap."""
        waiting = sum(waiting_reports(agent.state / "outbox.sqlite") for agent in self.rig.agents)
        return waiting <= len(self.rig.agents) and not any(row.beyond for row in self.inbound())

    def _look(self) -> None:
        processes = {name: running.process.pid for name, running in self.rig.processes.running.items()}
        for name, pid in processes.items():
            self.memory.setdefault(name, []).append((self.elapsed_s, resident_mb(pid)))
        now = SystemClock().now()
        gaps = [now - row.gap_since for row in self.inbound() if row.gap_since is not None]
        self.longest_gap = max([self.longest_gap, *gaps])

    def _roll_out_next(self) -> None:
        with suppress(ServerError):  # the one before is still on its way: next time
            if not self.rollouts or self.rig.client.rollout(self.rollouts[-1]).state in ENDED:
                release = self.releases[len(self.rollouts) % 2]
                self.rollouts.append(self.rig.roll_out(release))


def resident_mb(pid: int) -> float:
    """Return the memory of the process that is in RAM, MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000


@contextmanager
def steady_requests(addresses: list[tuple[str, int]]) -> Iterator[list[Requests]]:
    """Send to each address until the block ends."""
    stop, clients = threading.Event(), [Requests(address=address) for address in addresses]
    threads = [threading.Thread(target=client.send, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    with rig(tmp_path) as made:
        releases = made.release([TinyModel(hidden=400, seed=1), TinyModel(hidden=400, seed=2)])
        for name in ("pi-1", "pi-2", "pi-3"):
            made.add_agent(name, sketch_window_s=5.0)
        first = made.follow(made.roll_out(releases[1]), patience_s=60.0)
        assert first.state is RolloutState.COMPLETED
        engine = open_database(f"sqlite:///{made.data / 'fleet.db'}")
        yield Soak(rig=made, engine=engine, releases=releases)
        engine.dispose()


def test_a_fleet_at_work_neither_grows_nor_fails_nor_loses_a_report(soak: Soak) -> None:
    with steady_requests([agent.address for agent in soak.rig.agents]) as clients:
        soak.go_on()
    last = soak.rig.follow(soak.rollouts[-1], patience_s=60.0)
    drained = wait_until(soak.drained, patience_s=DRAIN_S)

    slopes = soak.slopes_mb_a_minute()
    heard = {f"{row.device} {row.boot[:4]}": row.contiguous for row in soak.inbound()}
    record("seconds", round(soak.elapsed_s))
    record("requests", sum(client.sent for client in clients))
    record("rollouts", len(soak.rollouts))
    record("broker deaths", soak.broker_deaths)
    record("reports heard", heard)
    record("longest gap s", round(soak.longest_gap.total_seconds(), 1))
    record("slope MB/min", slopes)
    record("last MB", {name: round(seen[-1][1]) for name, seen in soak.memory.items()})
    assert [failure for client in clients for failure in client.failures] == []
    assert min(client.sent for client in clients) > SOAK_S * REQUESTS_S / 4
    assert last.state is RolloutState.COMPLETED
    assert set(soak.ended()) == {RolloutState.COMPLETED}
    assert drained
    assert soak.longest_gap.total_seconds() < GAP_LIMIT_S
    assert set(slopes) >= {SERVER, "pi-1", "pi-2", "pi-3"}
    assert max(slopes.values()) <= FLAT_MB_A_MINUTE, slopes
