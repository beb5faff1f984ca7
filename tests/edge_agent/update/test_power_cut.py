"""The power goes at every single write of an update; the device always comes back whole."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from contracts.manifest import Budget
from contracts.update import UpdateState
from edge_agent.delivery.courier import Stopping
from edge_agent.update.machine import RESTARTS_LIMIT
from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.disk import CrashingDisk, PowerCut
from tests.fakes.repository import SignedRepository
from tests.fakes.serving import Figures
from tests.fakes.versions import Versions

WRITES_OF_ONE_UPDATE = 30
"""At least: the last rows of the table see no cut at all, which ``test_the_table_covers_...`` proves."""

WRITES_OF_ONE_DELTA = 48


def _device(folder: Path, *, budget: Budget | None = None) -> FakeDevice:
    repository = SignedRepository()
    repository.publish(an_artifact(version="1", counter=1))
    repository.publish(an_artifact(version="2", counter=2, budget=budget))
    device = FakeDevice(folder, repository)
    device.offer("digits@1")
    device.reports.clear()
    device.courier.sent.clear()
    return device


def _offer_with_cut(device: FakeDevice, after_writes: int) -> int:
    """Offer release 2, cut the power before that write, restart, finish; return how many writes happened before."""
    disk = CrashingDisk(after_writes)
    device.disk = disk
    device.restart()
    try:
        device.offer("digits@2")
    except PowerCut:
        disk.left = None
        device.restart()
        assert device.running in {"digits@1", "digits@2"}
        device.resume()
    return disk.writes


def _offer_again_if_forgotten(device: FakeDevice) -> None:
    """The retained offer comes again at every connect; a device that had written nothing takes it up."""
    if device.machine.generation < 2:
        device.offer("digits@2", generation=2)


@pytest.mark.parametrize("after_writes", range(WRITES_OF_ONE_UPDATE))
def test_power_cut_at_any_write_ends_healthy_and_asks_for_no_verified_chunk_again(
    after_writes: int, tmp_path: Path
) -> None:
    device = _device(tmp_path / "state")

    _offer_with_cut(device, after_writes)
    _offer_again_if_forgotten(device)

    assert device.running == "digits@2"
    assert device.last.state is UpdateState.HEALTHY
    assert device.courier.repeated_verified == 0
    device.restart()
    assert device.running == "digits@2"


@pytest.mark.parametrize("after_writes", range(WRITES_OF_ONE_UPDATE))
def test_power_cut_at_any_write_of_a_bad_release_ends_with_the_old_one(after_writes: int, tmp_path: Path) -> None:
    device = _device(tmp_path / "state", budget=Budget(latency_p95_ms=5.0))
    device.serving.figures["digits@2"] = Figures(latencies_ms=(9.0,) * 8)

    _offer_with_cut(device, after_writes)
    _offer_again_if_forgotten(device)

    assert device.running == "digits@1"
    assert (device.last.state, device.last.code) == (UpdateState.ROLLED_BACK, "probation_latency")


@pytest.mark.parametrize("after_writes", range(WRITES_OF_ONE_DELTA))
def test_power_cut_at_any_write_of_a_delta_ends_healthy_and_loses_nothing_verified(
    after_writes: int, tmp_path: Path
) -> None:
    versions = Versions(tmp_path / "state")
    versions.offer_delta()
    device = versions.device

    _offer_with_cut(device, after_writes)
    _offer_again_if_forgotten(device)

    assert (device.running, device.last.state) == ("digits@2", UpdateState.HEALTHY)
    assert device.courier.repeated_verified == 0
    assert device.applied
    assert max(device.courier.sent) < versions.delta_chunks


def test_the_table_covers_every_write_of_a_delta(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "state")
    versions.offer_delta()

    assert WRITES_OF_ONE_UPDATE < _offer_with_cut(versions.device, after_writes=10_000) <= WRITES_OF_ONE_DELTA


def test_the_table_covers_every_write_of_an_update(tmp_path: Path) -> None:
    device = _device(tmp_path / "state")

    assert _offer_with_cut(device, after_writes=10_000) <= WRITES_OF_ONE_UPDATE


def test_a_release_that_takes_the_power_down_with_it_is_given_up(tmp_path: Path) -> None:
    device = _device(tmp_path / "state")
    device.serving.deadly.add("digits@2")

    with pytest.raises(PowerCut):
        device.offer("digits@2")

    lives = _lives_until_it_gives_up(device)

    assert lives == RESTARTS_LIMIT + 1
    assert (device.running, device.last.code) == ("digits@1", "restarted_too_often")


def _lives_until_it_gives_up(device: FakeDevice) -> int:
    lives = 0
    while device.last.state is not UpdateState.ROLLED_BACK and lives < 10:
        lives += 1
        device.restart()
        with contextlib.suppress(PowerCut):
            device.resume()
    return lives


def test_what_lies_on_disk_is_no_progress_a_device_that_dies_while_fetching_gives_up(tmp_path: Path) -> None:
    device = _device(tmp_path / "state")
    device.courier.silent_after = 2
    device.clock.on_pass(5.0, device.mailroom.stop)
    with pytest.raises(Stopping):
        device.offer("digits@2")

    for _ in range(RESTARTS_LIMIT):
        device.courier.silent_after = 0
        device.restart()
        device.clock.on_pass(5.0, device.mailroom.stop)
        with pytest.raises(Stopping):
            device.resume()
    device.restart()
    device.resume()

    assert (device.last.state, device.last.code) == (UpdateState.FAILED, "restarted_too_often")
