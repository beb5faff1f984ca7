"""A queue that strangers fill: fair, bounded in number and in bytes."""

from __future__ import annotations

import queue

import pytest

from contracts.ids import DEFAULT_TENANT, DeviceId
from contracts.topics import Channel, DeviceTopic
from fleet_server.broker.waiting import DEVICE_BYTES_LIMIT, DEVICE_LIMIT, Waiting
from tests.fleet_server.server import SmallServer

TOPIC = DeviceTopic(tenant=DEFAULT_TENANT, device=DeviceId("pi-1"), channel=Channel.REPORT)


def test_messages_come_out_as_they_came_in() -> None:
    waiting = Waiting(2)
    waiting.put(TOPIC, b"first")
    waiting.put(TOPIC, b"second")

    assert [waiting.take(), waiting.take()] == [(TOPIC, b"first"), (TOPIC, b"second")]
    with pytest.raises(queue.Empty):
        waiting.take(0.001)


@pytest.mark.parametrize(("limit", "limit_bytes"), [(1, 100), (100, 10)])
def test_what_has_no_room_is_refused_until_something_was_taken(limit: int, limit_bytes: int) -> None:
    waiting = Waiting(limit, limit_bytes=limit_bytes)
    waiting.put(TOPIC, b"8 bytes.")

    with pytest.raises(queue.Full):
        waiting.put(TOPIC, b"8 more..")

    waiting.take()
    waiting.put(TOPIC, b"8 again.")
    assert waiting.take() == (TOPIC, b"8 again.")


def _topic(device: str) -> DeviceTopic:
    return DeviceTopic(tenant=DEFAULT_TENANT, device=DeviceId(device), channel=Channel.REPORT)


def test_a_flood_of_one_device_delays_another_by_one_message() -> None:
    waiting = Waiting(2_000)
    for number in range(DEVICE_LIMIT):
        waiting.put(TOPIC, b"%d" % number)
    waiting.put(_topic("pi-2"), b"asks once")

    taken = [waiting.take() for _ in range(3)]

    assert taken == [(TOPIC, b"0"), (_topic("pi-2"), b"asks once"), (TOPIC, b"1")]


def test_a_device_has_its_share_and_others_have_theirs() -> None:
    waiting = Waiting(2_000)
    for _ in range(DEVICE_LIMIT):
        waiting.put(TOPIC, b"")

    with pytest.raises(queue.Full):
        waiting.put(TOPIC, b"")
    waiting.put(_topic("pi-2"), b"")
    waiting.take()
    waiting.put(TOPIC, b"")


def test_long_messages_of_one_device_leave_room_for_others() -> None:
    waiting = Waiting(2_000)
    waiting.put(TOPIC, bytes(DEVICE_BYTES_LIMIT))

    with pytest.raises(queue.Full):
        waiting.put(TOPIC, b"x")
    waiting.put(_topic("pi-2"), b"x")


def test_a_flood_of_long_messages_takes_no_more_than_the_bound_and_is_counted(small_server: SmallServer) -> None:
    body = bytes(120 * 1024)

    for number in range(300):  # 36 MB of one and the same bytes, of 30 devices
        small_server.inbox.receive(_topic(f"pi-{number % 30}"), body)
        small_server.courier.receive(_topic(f"pi-{number % 30}"), body)

    assert small_server.inbox.counts == {"overloaded": 300 - 32 * 1024 // 120}
    assert small_server.courier.counts == {"overloaded": 300 - 32 * 1024 // 120}
