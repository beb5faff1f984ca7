"""The stream: what a tick says, and who computes it how often."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from contracts.update import UpdateState
from fleet_server.console.live import BACKLOG, Hub
from fleet_server.console.ticks import Pulse, pulse_of, snapshot_bytes, tick_bytes, topics
from fleet_server.errors import DatabaseUnreachable
from fleet_server.readmodel import AlertState, OverviewView
from fleet_server.rollouts.states import RolloutState
from tests.fleet_server.console.fake_fleet import START, FakeFleet, TestClock
from tests.fleet_server.console.fixtures import a_device, a_part, a_rollout, an_alert

TICK_S = 0.01


def test_snapshot_says_everything() -> None:
    fleet = _fleet()

    kind, message = _read(snapshot_bytes(_pulse(fleet), seq=7, at=START))

    assert kind == "snapshot"
    assert message["seq"] == 7
    assert message["numbers"] == {"devices": 1, "online": 1, "failing": 0, "active": 1, "alerts": 1}
    assert message["rollouts"] == {"r-118": {"state": "running", "cells": "qqq"}}


def test_tick_in_which_nothing_changed_says_only_that_it_came() -> None:
    pulse = _pulse(_fleet())

    kind, message = _read(tick_bytes(pulse, pulse, seq=8, at=START))

    assert (kind, set(message)) == ("tick", {"seq", "at"})


def test_tick_says_which_squares_changed_and_which_pages_should_look_again() -> None:
    fleet = _fleet()
    before = _pulse(fleet)
    _put(fleet, 1, UpdateState.DOWNLOADING)

    _, message = _read(tick_bytes(before, _pulse(fleet), seq=8, at=START))

    assert message["rollouts"] == {"r-118": {"state": "running", "delta": [[1, "d"]]}}
    assert message["changed"] == ["overview", "rollouts", "rollout/r-118"]
    assert "numbers" not in message


def test_rollout_that_ends_is_announced_once_more() -> None:
    fleet = _fleet()
    before = _pulse(fleet)
    fleet.put_rollout(replace(fleet.rollout_views[0], state=RolloutState.COMPLETED))

    after = _pulse(fleet)

    assert "rollout/r-118" in topics(before, after)
    assert topics(after, after) == []


def test_chunk_counts_alone_refresh_the_rollouts_page_but_no_square() -> None:
    fleet = _fleet()
    before = _pulse(fleet)
    parts = (replace(fleet.rollout_views[0].devices[0], chunks_done=3), *fleet.rollout_views[0].devices[1:])
    fleet.put_rollout(replace(fleet.rollout_views[0], devices=parts))

    _, message = _read(tick_bytes(before, _pulse(fleet), seq=1, at=START))

    assert "rollout/r-118" in message["changed"]
    assert "rollouts" not in message


def test_acknowledged_alert_changes_the_alerts_and_their_number() -> None:
    fleet = _fleet()
    before = _pulse(fleet)
    fleet.alert_views = [replace(fleet.alert_views[0], state=AlertState.ACKNOWLEDGED)]

    _, message = _read(tick_bytes(before, _pulse(fleet), seq=1, at=START))

    assert message["changed"] == ["overview", "alerts"]
    assert message["numbers"]["alerts"] == 0


def test_rollout_that_grew_is_sent_whole() -> None:
    fleet = _fleet()
    before = _pulse(fleet)
    fleet.put_rollout(a_rollout((*fleet.rollout_views[0].devices, a_part("pi-9"))))

    _, message = _read(tick_bytes(before, _pulse(fleet), seq=1, at=START))

    assert message["rollouts"]["r-118"]["cells"] == "qqqq"


def test_one_reading_a_tick_serves_all_viewers() -> None:
    reads = _Counted()

    async def scene() -> list[list[str]]:
        hub = Hub(reads, TestClock(), tick_s=TICK_S)
        return list(await asyncio.gather(*(_take(hub.watch(), 3) for _ in range(5))))

    seen = asyncio.run(scene())

    assert seen == [["snapshot", "tick", "tick"]] * 5
    assert reads.count <= 4


def test_nothing_is_read_while_nobody_watches() -> None:
    reads = _Counted()

    async def scene() -> tuple[int, int, int]:
        hub = Hub(reads, TestClock(), tick_s=TICK_S)
        await _take(hub.watch(), 2)
        after_leaving = reads.count
        await asyncio.sleep(5 * TICK_S)
        return after_leaving, reads.count, hub.watching

    after_leaving, later, watching = asyncio.run(scene())

    assert later == after_leaving
    assert watching == 0


def test_viewer_who_comes_late_begins_with_a_snapshot_of_the_running_count() -> None:
    async def scene() -> tuple[int, int]:
        hub = Hub(_Counted(), TestClock(), tick_s=TICK_S)
        first = hub.watch()
        last = [_read(await anext(first))[1]["seq"] for _ in range(3)][-1]
        second = hub.watch()
        kind, message = _read(await anext(second))
        assert kind == "snapshot"
        assert _read(await anext(second))[1]["seq"] == message["seq"] + 1
        await first.aclose()
        await second.aclose()
        return last, message["seq"]

    last, late = asyncio.run(scene())

    assert late >= last


def test_viewer_who_comes_again_after_all_left_is_served_again() -> None:
    async def scene() -> list[list[str]]:
        hub = Hub(_Counted(), TestClock(), tick_s=TICK_S)
        return [await _take(hub.watch(), 2), await _take(hub.watch(), 2)]

    assert asyncio.run(scene()) == [["snapshot", "tick"]] * 2


def test_slow_viewer_is_given_a_snapshot_instead_of_what_it_missed() -> None:
    async def scene() -> list[tuple[str, int]]:
        hub = Hub(_Counted(), TestClock(), tick_s=TICK_S)
        slow = hub.watch()
        first = _read(await anext(slow))
        await asyncio.sleep(TICK_S * (BACKLOG + 1) * 4)
        rest = [_read(await anext(slow)) for _ in range(2)]
        await slow.aclose()
        return [(kind, message["seq"]) for kind, message in (first, *rest)]

    (_, first), (kind, second), (after, third) = asyncio.run(scene())

    assert kind == "snapshot"
    assert second > first + 1
    assert (after, third) == ("tick", second + 1)


def test_reading_that_fails_ends_the_streams_and_the_next_viewer_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    reads = _Counted(fails_at=2)

    async def scene() -> list[list[str]]:
        hub = Hub(reads, TestClock(), tick_s=TICK_S)
        return [await _take(hub.watch(), 9), await _take(hub.watch(), 2)]

    broken, again = asyncio.run(scene())

    assert broken == ["snapshot"]
    assert again == ["snapshot", "tick"]
    assert "live stream ended" in caplog.text


def test_server_that_stops_ends_its_streams_at_once() -> None:
    async def scene() -> tuple[list[str], int]:
        hub = Hub(_Counted(), TestClock(), tick_s=60)
        watching = asyncio.create_task(_take(hub.watch(), 9))
        await asyncio.sleep(5 * TICK_S)
        hub.end()
        return await asyncio.wait_for(watching, timeout=1), hub.watching

    assert asyncio.run(scene()) == (["snapshot"], 0)


class _Counted:
    """Reads a fleet whose clock of seen devices moves on each reading; fails once where told to."""

    def __init__(self, *, fails_at: int = 0) -> None:
        self.count = 0
        self.fails_at = fails_at

    def __call__(self) -> OverviewView:
        self.count += 1
        if self.count == self.fails_at:
            raise DatabaseUnreachable("the database does not answer")
        return _fleet().overview()


def _fleet() -> FakeFleet:
    fleet = FakeFleet(TestClock())
    fleet.device_views = [a_device()]
    fleet.rollout_views = [a_rollout((a_part("pi-1"), a_part("pi-2"), a_part("pi-3")))]
    fleet.alert_views = [an_alert()]
    return fleet


def _put(fleet: FakeFleet, place: int, state: UpdateState) -> None:
    parts = list(fleet.rollout_views[0].devices)
    parts[place] = replace(parts[place], state=state)
    fleet.put_rollout(replace(fleet.rollout_views[0], devices=tuple(parts)))


def _pulse(fleet: FakeFleet) -> Pulse:
    return pulse_of(fleet.overview())


def _read(event: bytes) -> tuple[str, dict]:  # type: ignore[type-arg]  # the browser's side has no types
    head, data = event.decode().rstrip("\n").split("\n")
    return head.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def _take(stream: AsyncGenerator[bytes, None], count: int) -> list[str]:
    kinds: list[str] = []
    async for event in stream:
        kinds.append(_read(event)[0])
        if len(kinds) == count:
            break
    await stream.aclose()
    return kinds
