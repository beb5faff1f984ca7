"""The delivery laws on the fake broker, on mosquitto, and on amqtt, which loses what was not acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.topics import Channel
from fleet_server.broker.embedded import start_embedded
from fleet_server.broker.mosquitto import start_mosquitto
from tests.conformance.delivery_laws import DeliveryLaws
from tests.conformance.link_laws import CHUNK, Box, Post
from tests.edge_agent.test_link import FakePost, RealPost

BROKERS_WINDOW = 16


@pytest.mark.slow
class TestDeliveryOverTheFake(DeliveryLaws):
    @pytest.fixture
    def post(self) -> Post:
        return FakePost()


@pytest.mark.slow
@pytest.mark.system
class TestDeliveryOverMosquitto(DeliveryLaws):
    @pytest.fixture
    def post(self, tmp_path: Path) -> Iterator[Post]:
        post = RealPost(tmp_path, start_mosquitto)
        yield post
        post.close()


@pytest.mark.slow
class TestDeliveryOverAmqtt(DeliveryLaws):
    @pytest.fixture
    def post(self, tmp_path: Path) -> Iterator[Post]:
        post = RealPost(tmp_path, start_embedded)
        yield post
        post.close()


@pytest.mark.slow
@pytest.mark.system
def test_a_device_that_is_not_done_with_its_messages_gets_no_more_of_them(tmp_path: Path) -> None:
    post, box = RealPost(tmp_path, start_mosquitto), Box()
    box.acknowledges = False
    post.link.start(box)
    box.wait(lambda: box.sessions == 1)

    _publish(post, 3 * BROKERS_WINDOW)
    box.wait(lambda: len(box.letters) == BROKERS_WINDOW)
    arrived_unacknowledged = len(box.letters)
    box.acknowledges = True
    box.acknowledge()

    box.wait(lambda: len(box.letters) == 3 * BROKERS_WINDOW)
    post.close()
    assert arrived_unacknowledged == BROKERS_WINDOW
    assert [data for _, data in box.letters] == [bytes([number]) for number in range(3 * BROKERS_WINDOW)]
    assert {channel for channel, _ in box.letters} == {Channel.CHUNK}


def _publish(post: RealPost, messages: int) -> None:
    for number in range(messages):
        post.publish(CHUNK, bytes([number]))
