"""The next version of a model by its difference from one that is here, or by its chunks where that is no use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pytest

from contracts.delta import DeltaState, make
from contracts.ids import Digest
from contracts.metadata import MetadataName
from contracts.update import UpdateState
from edge_agent.delivery.courier import Stopping
from edge_agent.delivery.delta import BEGINNINGS_LIMIT, LONGEST_WAIT_S, Task
from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.disk import FullDisk, PowerCut
from tests.fakes.versions import BASE, DELTA, TARGET, Versions


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "versions")


def _codes(device: FakeDevice) -> set[str]:
    return {report.code for report in device.reports if report.state is UpdateState.DOWNLOADING} - {""}


def test_the_next_version_comes_by_its_delta_in_fewer_bytes(versions: Versions) -> None:
    versions.offer_delta()

    versions.device.offer("digits@2")

    assert (versions.device.running, versions.device.last.state) == ("digits@2", UpdateState.HEALTHY)
    assert len(versions.device.applied) == 1
    assert sum(versions.device.courier.sent.values()) == versions.delta_chunks
    assert len(DELTA) < 0.1 * len(TARGET)


def test_progress_counts_the_deltas_chunks_and_ends_with_the_whole(versions: Versions) -> None:
    versions.offer_delta()

    versions.device.offer("digits@2", max_bytes_s=2_000)

    told = [report for report in versions.device.reports if report.state is UpdateState.DOWNLOADING]
    assert all(report.chunks_done <= report.chunks_total for report in told)
    assert (told[-1].chunks_done, told[-1].chunks_total) == (versions.chunks, versions.chunks)
    assert {report.chunks_total - told[0].chunks_done for report in told} >= {versions.delta_chunks}


def test_a_delta_from_the_version_before_the_good_one_is_used_where_the_good_one_has_none(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "state")
    between = an_artifact(version="1.5", counter=2, model_bytes=200_000)
    versions.repository.publish(between)
    versions.device.offer("digits@1.5")
    versions.offer_delta()

    versions.device.offer("digits@2")

    assert versions.device.running == "digits@2"
    assert [task.length for task in versions.device.applied] == [len(TARGET)]


@pytest.mark.parametrize(
    "delta",
    [b"no delta at all, but long enough for a chunk", DELTA[: len(DELTA) // 2], make(BASE, BASE)],
    ids=["nonsense", "cut short", "to another artifact"],
)
def test_a_delta_that_leads_elsewhere_is_forgotten_and_the_chunks_are_fetched(delta: bytes, versions: Versions) -> None:
    versions.offer_delta(delta)

    versions.device.offer("digits@2")

    assert (versions.device.running, versions.device.last.state) == ("digits@2", UpdateState.HEALTHY)
    assert _codes(versions.device) == {"delta_unusable"}
    assert versions.device.courier.metadata_requests.count(MetadataName.DELTA) == 1


def test_a_delta_whose_chunks_come_wrong_is_forgotten(versions: Versions) -> None:
    news = versions.offer_delta()
    chunks = versions.repository.chunks
    index = Digest(news.index)
    chunks[index] = tuple(bytes(len(chunk)) for chunk in chunks[index])

    versions.device.offer("digits@2")

    assert versions.device.running == "digits@2"
    assert _codes(versions.device) == {"delta_unusable"}


def test_a_delta_whose_index_is_another_is_forgotten(versions: Versions) -> None:
    news = versions.offer_delta()
    versions.tell(dataclasses.replace(news, length=news.length - 1))

    versions.device.offer("digits@2")

    assert versions.device.running == "digits@2"
    assert _codes(versions.device) == {"delta_unusable"}


def test_a_delta_that_never_comes_from_a_server_that_lives_is_forgotten_within_a_minute(versions: Versions) -> None:
    news = versions.offer_delta()
    versions.device.courier.silent_for = {news.index}
    began_s = versions.device.clock.monotonic_s()

    versions.device.offer("digits@2")

    assert versions.device.running == "digits@2"
    assert _codes(versions.device) == {"delta_unusable"}
    assert versions.device.clock.monotonic_s() - began_s < 60.0


def test_a_link_that_is_down_for_an_hour_costs_no_delta(versions: Versions) -> None:
    versions.offer_delta()
    device = versions.device
    device.courier.silent_after = 1
    device.courier.is_down = lambda: device.courier.silent_after is not None and bool(device.courier.sent)
    device.clock.on_pass(3600.0, lambda: setattr(device.courier, "silent_after", None))

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert len(device.applied) == 1
    assert _codes(device) == set()
    assert max(device.courier.sent) < versions.delta_chunks


def test_a_delta_that_is_being_made_is_waited_for(versions: Versions) -> None:
    news = versions.offer_delta()
    versions.tell(dataclasses.replace(news, state=DeltaState.LATER), news)

    versions.device.offer("digits@2")

    assert len(versions.device.applied) == 1


def test_a_delta_that_is_not_made_in_time_is_not_waited_for(versions: Versions) -> None:
    versions.tell(dataclasses.replace(versions.offer_delta(), state=DeltaState.LATER))
    began_s = versions.device.clock.monotonic_s()

    versions.device.offer("digits@2")

    assert versions.device.running == "digits@2"
    assert not versions.device.applied
    assert versions.device.clock.monotonic_s() - began_s <= LONGEST_WAIT_S


def _says_none(versions: Versions) -> None:
    versions.tell(dataclasses.replace(versions.offer_delta(), state=DeltaState.NONE))


def _is_of_another_base(versions: Versions) -> None:
    versions.tell(dataclasses.replace(versions.offer_delta(), base="0" * 64))


def _has_little_memory(versions: Versions) -> None:
    versions.offer_delta()
    versions.device.free_memory_bytes = 1 << 26


def _is_long(versions: Versions) -> None:
    versions.offer_delta(bytes(len(TARGET) * 7 // 10 + 1))


def _base_is_damaged(versions: Versions) -> None:
    versions.offer_delta()
    path = next(iter(versions.device.slots.held()))[1]
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")


@pytest.mark.parametrize("reason", [_says_none, _is_of_another_base, _has_little_memory, _is_long, _base_is_damaged])
def test_no_delta_is_fetched_where_it_is_of_no_use(reason: Callable[[Versions], None], versions: Versions) -> None:
    reason(versions)

    versions.device.offer("digits@2")

    assert (versions.device.running, versions.device.last.state) == ("digits@2", UpdateState.HEALTHY)
    assert not versions.device.applied
    assert _codes(versions.device) == set()


def test_a_disk_without_room_for_the_delta_still_takes_the_artifact(versions: Versions) -> None:
    versions.offer_delta()
    versions.device.disk = FullDisk("delta/")
    versions.device.restart()

    versions.device.offer("digits@2")

    assert versions.device.running == "digits@2"
    assert not versions.device.applied


def test_a_device_that_goes_down_over_a_delta_takes_the_chunks_in_the_end(versions: Versions) -> None:
    versions.offer_delta()
    versions.device.apply = _takes_the_power_down

    lives = versions.lives_until_it_ends("digits@2")

    assert lives == BEGINNINGS_LIMIT
    assert (versions.device.running, versions.device.last.state) == ("digits@2", UpdateState.HEALTHY)


def test_an_agent_stopped_while_it_applies_a_delta_applies_it_at_its_next_start(versions: Versions) -> None:
    versions.offer_delta()
    usual, versions.device.apply = versions.device.apply, _is_stopped
    versions.device.restart()
    with pytest.raises(Stopping):
        versions.device.offer("digits@2")
    sent = versions.device.courier.sent.copy()
    versions.device.apply = usual

    versions.device.restart()
    versions.device.resume()

    assert versions.device.running == "digits@2"
    assert versions.device.courier.sent == sent
    assert len(versions.device.applied) == 1


def _takes_the_power_down(task: Task, rest: Callable[[float], None]) -> AbstractContextManager[IO[bytes]]:
    raise PowerCut


def _is_stopped(task: Task, rest: Callable[[float], None]) -> AbstractContextManager[IO[bytes]]:
    raise Stopping
