"""A download completes across a wire that loses and delays, and the server sends hardly a byte twice."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.update import UpdateState
from fleet_server.rollouts.states import RolloutState
from tests.long.loss_cell import Told
from tests.long.lossy_network import Counted, lossy_network
from tests.slow import record, seed

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.system]

MB = 1_000_000
AT_ONCE = 8
"""Cells that run at the same time: they wait for the wire, not for the processor."""
PATIENCE_S = 3000.0
MOST_SENT = 1.05
MOST_MEMORY_BYTES = 20 * MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """What is asked of one cell of the grid."""

    broker: str
    loss: float
    round_trip_s: float
    length_bytes: int

    @property
    def name(self) -> str:
        """The cell in words."""
        size = f"{self.length_bytes / MB:g} MB"
        return f"{self.broker} {100 * self.loss:g} % {1000 * self.round_trip_s:g} ms {size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What came of one cell, and what its wire counted towards the device and back."""

    trip: Trip
    told: Told
    to_device: Counted
    from_device: Counted


GRID = tuple(
    Trip(broker=broker, loss=loss, round_trip_s=round_trip_s, length_bytes=length)
    for loss, round_trip_s, length in (
        *((loss, seconds, 20 * MB) for loss in (0.05, 0.01, 0.0) for seconds in (0.5, 0.05)),
        (0.2, 0.05, 2 * MB),
        (0.2, 0.5, MB // 5),
    )
    for broker in ("mosquitto", "amqtt")
)


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[Arrived]]:
    """All cells of the grid, several at once, by their names; each has its own outcome."""
    folder = tmp_path_factory.mktemp("loss")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {trip.name: pool.submit(_go, trip, folder / str(number), number) for number, trip in enumerate(GRID)}


@pytest.mark.parametrize("trip", GRID, ids=lambda trip: trip.name)
def test_a_download_across_a_bad_wire_ends_healthy_and_is_sent_once(
    trip: Trip, arrived: dict[str, Future[Arrived]]
) -> None:
    one = arrived[trip.name].result()
    told = one.told

    sent = told.published_bytes / told.artifact_bytes
    agent_mb = (told.agent_peak_bytes - told.agent_idle_bytes) / MB
    end_mb = (told.agent_peak_to_the_end_bytes - told.agent_idle_bytes) / MB
    broker_mb = (told.broker_peak_bytes - told.broker_idle_bytes) / MB
    wire = (one.to_device.bytes + one.from_device.bytes) / told.artifact_bytes
    record(
        trip.name,
        f"{told.seconds:.0f} s, published {sent:.4f} x, wire {wire:.2f} x, "
        f"dropped {one.to_device.dropped_packets} of {one.to_device.packets}, "
        f"agent +{agent_mb:.1f} MB (with both models at the end +{end_mb:.1f}), broker +{broker_mb:.1f} MB",
    )
    assert (told.rollout, told.state) == (RolloutState.COMPLETED, UpdateState.HEALTHY)
    assert told.repeated_verified == 0
    assert sent <= MOST_SENT
    assert told.agent_peak_bytes - told.agent_idle_bytes <= MOST_MEMORY_BYTES
    assert told.broker_peak_bytes - told.broker_idle_bytes <= MOST_MEMORY_BYTES


def _go(trip: Trip, folder: Path, number: int) -> Arrived:
    folder.mkdir()
    with lossy_network(folder, loss=trip.loss, round_trip_s=trip.round_trip_s, seed=seed() + number) as network:
        cell = {
            "folder": str(folder / "fleet"),
            "agent_namespace": network.left,
            "server_address": network.right_address,
            "broker": trip.broker,
            "length_bytes": trip.length_bytes,
            "patience_s": PATIENCE_S,
        }
        words = [sys.executable, "-m", "tests.long.loss_cell", json.dumps(cell)]
        done = subprocess.run(network.command(network.right, *words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{trip.name}: {done.stderr[-2000:]}"
        from_device, to_device = network.counted()
    told = Told(**json.loads(done.stdout.splitlines()[-1]))
    return Arrived(trip=trip, told=told, to_device=to_device, from_device=from_device)
