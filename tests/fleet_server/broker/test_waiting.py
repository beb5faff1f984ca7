"""A queue that strangers fill: bounded in number and in bytes."""

from __future__ import annotations

import queue

import pytest

from contracts.ids import DEFAULT_TENANT, DeviceId
from contracts.topics import Channel, DeviceTopic
from fleet_server.broker.waiting import Waiting
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


def test_a_flood_of_long_messages_takes_no_more_than_the_bound_and_is_counted(small_server: SmallServer) -> None:
    body = bytes(120 * 1024)

    for _ in range(300):  # 36 MB of one and the same bytes
        small_server.inbox.receive(TOPIC, body)
        small_server.courier.receive(TOPIC, body)

    assert small_server.inbox.counts == {"overloaded": 300 - 32 * 1024 // 120}
    assert small_server.courier.counts == {"overloaded": 300 - 32 * 1024 // 120}
