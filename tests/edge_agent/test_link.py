"""The link laws on the fake broker, on mosquitto and on amqtt; and how long a lost device waits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.ids import DEFAULT_TENANT
from contracts.topics import Channel, DeviceTopic, device_topic
from edge_agent.clock import SystemClock
from edge_agent.link import LONGEST_WAIT_S, STEADY_AFTER_S, Backoff, Link, MqttLink, Taken
from fleet_server.broker.embedded import start_embedded
from fleet_server.broker.mosquitto import start_mosquitto
from tests.conformance.link_laws import CHUNK, DEVICE, Box, LinkLaws, Post, wait_until
from tests.fakes.broker import FakeBroker
from tests.fakes.identities import Registry
from tests.fakes.real_broker import RealBroker, ServerEnd, Starter

ACK = device_topic(DEFAULT_TENANT, DEVICE, Channel.ACK)


class FakePost:
    """The fake broker as a post office."""

    def __init__(self) -> None:
        self._broker = FakeBroker()
        self._broker.on_message(self._hear)
        self.link: Link = self._broker.link(DEFAULT_TENANT, DEVICE)
        self.heard: list[tuple[str, bytes]] = []

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        self._broker.publish(topic, data, retain=retain)

    def drop(self) -> None:
        self._broker.drop()

    def _hear(self, topic: DeviceTopic, data: bytes) -> None:
        self.heard.append((device_topic(topic.tenant, topic.device, topic.channel), data))


class RealPost:
    """A broker process as a post office."""

    def __init__(self, folder: Path, start: Starter) -> None:
        self._broker = RealBroker(folder, start)
        self.heard: list[tuple[str, bytes]] = []
        registry = self._broker.registry
        self._server = ServerEnd(
            self._broker.port, registry.server_tls(), lambda topic, data: self.heard.append((topic, data))
        )
        self.link: Link = MqttLink(
            "127.0.0.1",
            self._broker.port,
            tenant=DEFAULT_TENANT,
            device=DEVICE,
            credentials=registry.papers(DEVICE),
            clock=SystemClock(),
            chance=random.Random(7),
        )

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        self._server.publish(topic, data, retain=retain)

    def drop(self) -> None:
        self._server.forget_session()
        self._broker.restart()
        self._server.wait_connected()

    def close(self) -> None:
        self.link.stop()
        self._server.close()
        self._broker.stop()


class TestFakeLink(LinkLaws):
    @pytest.fixture
    def post(self) -> Post:
        return FakePost()


@pytest.mark.slow
@pytest.mark.system
class TestLinkOverMosquitto(LinkLaws):
    @pytest.fixture
    def post(self, tmp_path: Path) -> Iterator[Post]:
        post = RealPost(tmp_path, start_mosquitto)
        yield post
        post.close()


@pytest.mark.slow
class TestLinkOverAmqtt(LinkLaws):
    @pytest.fixture
    def post(self, tmp_path: Path) -> Iterator[Post]:
        post = RealPost(tmp_path, start_embedded)
        yield post
        post.close()


def test_the_wait_grows_to_a_minute_and_no_further() -> None:
    backoff = Backoff(_Longest())

    waits = [backoff.wait_s(session_s=0.0) for _ in range(8)]

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_session_that_dies_young_does_not_reset_the_wait() -> None:
    backoff = Backoff(_Longest())
    backoff.wait_s(session_s=0.0)

    assert backoff.wait_s(session_s=STEADY_AFTER_S - 1) == 2.0


def test_a_steady_session_resets_the_wait() -> None:
    backoff = Backoff(_Longest())
    backoff.wait_s(session_s=0.0)

    assert backoff.wait_s(session_s=STEADY_AFTER_S) == 1.0


def test_the_wait_is_anything_between_nothing_and_its_step() -> None:
    waits = [Backoff(random.Random(seed)).wait_s(session_s=0.0) for seed in range(100)]

    assert min(waits) < 0.1
    assert max(waits) > 0.9


def test_a_link_whose_broker_is_not_there_starts_and_stops(tmp_path: Path) -> None:
    papers = Registry.make(tmp_path).papers(DEVICE)
    link = MqttLink(
        "127.0.0.1",
        1,
        tenant=DEFAULT_TENANT,
        device=DEVICE,
        credentials=papers,
        clock=SystemClock(),
        chance=random.Random(7),
    )
    box = Box()

    link.start(box)
    link.publish(Channel.REPORT, b"nobody")
    link.stop()

    assert (box.sessions, papers.refusals) == (0, 0)


class _Unready(Box):
    """Fails at its first session."""

    def connected(self) -> None:
        super().connected()
        if self.sessions == 1:
            raise OverflowError("not yet")


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_ends_the_mqtt_thread_is_followed_by_another_session(tmp_path: Path) -> None:
    post, box = RealPost(tmp_path, start_mosquitto), _Unready()

    post.link.start(box)
    box.wait(lambda: box.sessions == 2)
    post.publish(CHUNK, b"heard again")

    box.wait(lambda: bool(box.letters))
    post.close()
    assert box.letters == [(Channel.CHUNK, b"heard again")]


class _Longest(random.Random):
    """Chance at its worst."""

    def uniform(self, _low: float, high: float) -> float:
        return high


class _Fragile(Box):
    """Fails at every message but the last one's content."""

    def received(self, channel: Channel, data: bytes, taken: Taken) -> None:
        if data != b"good":
            raise OverflowError(f"secret {data!r}")
        super().received(channel, data, taken)


@pytest.mark.slow
@pytest.mark.system
def test_a_session_that_begins_is_one_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    post, box = RealPost(tmp_path, start_mosquitto), Box()
    post.link.start(box)
    box.wait(lambda: box.sessions == 1)
    post.close()

    told = [record.message for record in caplog.records if record.name == "edge_agent.link"]

    assert len(told) == 1
    assert told[0].startswith("connected to 127.0.0.1:")


@pytest.mark.slow
@pytest.mark.system
def test_what_a_receiver_cannot_bear_ends_neither_the_session_nor_the_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    post, box = RealPost(tmp_path, start_mosquitto), _Fragile()
    post.link.start(box)
    box.wait(lambda: box.sessions == 1)

    post.publish(ACK, b"poison")
    post.publish(ACK, b"poison")
    post.publish(CHUNK, b"good")

    box.wait(lambda: bool(box.letters))
    post.link.publish(Channel.REPORT, b"still here")
    wait_until(lambda: bool(post.heard))
    post.close()
    assert (box.letters, box.sessions) == ([(Channel.CHUNK, b"good")], 1)
    dropped = [record for record in caplog.records if record.message == "message dropped"]
    assert [(vars(record)["channel"], vars(record)["error"]) for record in dropped] == [("ack", "OverflowError")]
    assert "secret" not in caplog.text
