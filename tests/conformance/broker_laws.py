"""What every broker of ours must do; subclasses supply ``kind``. Loss is allowed, lies are not."""

from __future__ import annotations

import queue
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from contracts.ids import DEFAULT_TENANT, DeviceId
from contracts.topics import Channel, device_topic
from edge_agent.config import UpdateConfig
from fleet_server.broker.link import BrokerLink
from fleet_server.broker.starting import ReadyBroker, start_broker
from fleet_server.config import BrokerConfig, BrokerKind
from tests.conformance.link_laws import wait_until
from tests.fakes.identities import Registry

PATIENCE_S = 30.0
WINDOW = UpdateConfig().chunk_credit
OFFER = device_topic(DEFAULT_TENANT, DeviceId("pi-1"), Channel.OFFER)
REPORT = device_topic(DEFAULT_TENANT, DeviceId("pi-1"), Channel.REPORT)
CHUNK = device_topic(DEFAULT_TENANT, DeviceId("pi-1"), Channel.CHUNK)


def _windows(chunks: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield as many chunks at a time as a device asks for: a broker may drop what lies unread beyond its bound."""
    for first in range(0, len(chunks), WINDOW):
        yield chunks[first : first + WINDOW]


class BareDevice:
    """A plain MQTT 3.1.1 client on one device's topics."""

    def __init__(self, port: int, tls: ssl.SSLContext, *topics: str) -> None:
        self.messages: queue.Queue[tuple[str, bytes, bool]] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="default/d/pi-1", clean_session=True)
        self._client.tls_set_context(tls)
        self._client.on_message = self._take
        subscribed: queue.Queue[int] = queue.Queue()
        self._client.on_subscribe = lambda *_: subscribed.put(1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([(topic, 1) for topic in topics])
        subscribed.get(timeout=PATIENCE_S)

    def _take(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.messages.put((message.topic, bytes(message.payload), message.retain))

    def publish(self, topic: str, body: bytes) -> None:
        self._client.publish(topic, body, qos=1).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class BrokerLaws:
    """The suite."""

    kind: BrokerKind

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        return Registry.make(tmp_path)

    @pytest.fixture
    def tls(self, registry: Registry) -> ssl.SSLContext:
        return registry.papers("pi-1").tls()

    @pytest.fixture
    def broker(self, tmp_path: Path, registry: Registry) -> Iterator[ReadyBroker]:
        assert registry.folder.path.parent == tmp_path
        ready = start_broker(BrokerConfig(kind=self.kind), tmp_path)
        yield ready
        assert ready.child is not None
        ready.child.stop()

    @pytest.fixture
    def received(self) -> queue.Queue[tuple[str, bytes]]:
        return queue.Queue()

    @pytest.fixture
    def link(
        self, broker: ReadyBroker, registry: Registry, received: queue.Queue[tuple[str, bytes]]
    ) -> Iterator[BrokerLink]:
        link = BrokerLink(broker.config.host, broker.config.port, registry.server_tls())
        link.start(lambda topic, body: received.put((topic, body)))
        wait_until(lambda: link.connected)
        time.sleep(0.3)  # the broker's answer to the subscription is not visible from here
        yield link
        link.stop()

    @pytest.mark.usefixtures("link")
    def test_a_report_reaches_the_server(
        self, broker: ReadyBroker, tls: ssl.SSLContext, received: queue.Queue[tuple[str, bytes]]
    ) -> None:
        device = BareDevice(broker.config.port, tls, OFFER)

        device.publish(REPORT, b"report")

        assert received.get(timeout=PATIENCE_S) == (REPORT, b"report")
        device.close()

    def test_an_offer_is_retained_for_a_device_that_comes_later(
        self, broker: ReadyBroker, tls: ssl.SSLContext, link: BrokerLink
    ) -> None:
        assert link.publish(OFFER, b"offer", retain=True).wait(PATIENCE_S)

        device = BareDevice(broker.config.port, tls, OFFER)

        assert device.messages.get(timeout=PATIENCE_S) == (OFFER, b"offer", True)
        device.close()

    def test_the_newest_retained_offer_wins(self, broker: ReadyBroker, tls: ssl.SSLContext, link: BrokerLink) -> None:
        link.publish(OFFER, b"old", retain=True).wait(PATIENCE_S)
        link.publish(OFFER, b"new", retain=True).wait(PATIENCE_S)

        device = BareDevice(broker.config.port, tls, OFFER)

        assert device.messages.get(timeout=PATIENCE_S)[1] == b"new"
        device.close()

    def test_forty_chunks_of_the_largest_size_arrive_whole_and_in_order(
        self, broker: ReadyBroker, tls: ssl.SSLContext, link: BrokerLink
    ) -> None:
        device = BareDevice(broker.config.port, tls, CHUNK)
        chunks = [bytes([place]) * (124 * 1024) for place in range(40)]
        arrived = []

        for window in _windows(chunks):
            sent = [link.publish(CHUNK, chunk) for chunk in window]
            assert all(message.wait(PATIENCE_S) for message in sent)
            arrived += [device.messages.get(timeout=PATIENCE_S)[1] for _ in window]

        assert arrived == chunks
        device.close()

    def test_the_broker_listens_on_this_machine_only(self, broker: ReadyBroker) -> None:
        outside = socket.gethostbyname(socket.gethostname())

        with pytest.raises(OSError, match=r"refused|unreachable|timed out") as refusal:
            socket.create_connection((self._other_address(outside), broker.config.port), timeout=2.0)

        assert refusal.value is not None

    def test_the_port_is_the_same_after_a_restart(self, broker: ReadyBroker, tmp_path: Path) -> None:
        assert broker.child is not None
        broker.child.stop()

        again = start_broker(BrokerConfig(kind=self.kind), tmp_path)

        assert again.child is not None
        again.child.stop()
        assert again.config.port == broker.config.port

    def test_a_broker_left_behind_is_replaced(self, broker: ReadyBroker, tmp_path: Path) -> None:
        again = start_broker(BrokerConfig(kind=self.kind), tmp_path)

        assert again.child is not None
        assert broker.child is not None
        assert broker.child.process.wait(PATIENCE_S) is not None
        assert again.child.alive
        again.child.stop()

    def _other_address(self, outside: str) -> str:
        return "127.0.0.2" if outside.startswith("127.") else outside
