"""The server's one connection to the broker: MQTT 3.1.1, reconnecting for ever.

Nothing here is trusted to arrive: what must reach a device lies in the outbox until it went out, what
a device sends is acknowledged by the inbox only after the commit. ``connections`` counts how often
the link came up: a broker may have forgotten everything in between.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from contracts.topics import FROM_DEVICE, every_device
from fleet_server.identity.authority import SERVER_NAME

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTMessageInfo, SocketLike
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)

KEEPALIVE_S = 30
INFLIGHT_LIMIT = 100
Receive = Callable[[str, bytes], None]


class Sent(Protocol):
    """A message on its way to the broker."""

    def wait(self, timeout_s: float) -> bool:
        """Return whether the broker has it, at the latest after that long."""
        ...


class Publisher(Protocol):
    """What sends messages to devices."""

    @property
    def connections(self) -> int:
        """How often the link came up."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        ...

    def publish(self, topic: str, body: bytes, *, retain: bool = False) -> Sent:
        """Send the message with QoS 1."""
        ...


class BrokerLink:
    """The connection."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        """Prepare; ``start`` connects, and shows the certificate that the TLS has at that moment."""
        self._host = host
        self._port = port
        self._receive: Receive = _ignore
        self._up = threading.Event()
        self._connections = 0
        self._client = self._make_client(tls)

    def start(self, receive: Receive) -> None:
        """Connect in the background, again and again until it works.

        Messages from devices go to ``receive``, on the link's own thread: it must be quick.
        """
        self._receive = receive
        self._client.connect_async(self._host, self._port, keepalive=KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye and end the link's thread."""
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self._up.is_set()

    @property
    def connections(self) -> int:
        """How often the link came up."""
        return self._connections

    def publish(self, topic: str, body: bytes, *, retain: bool = False) -> Sent:
        """Send the message with QoS 1."""
        return _Sent(self._client.publish(topic, body, qos=1, retain=retain))

    def _make_client(self, tls: ssl.SSLContext) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=SERVER_NAME,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        client.tls_set_context(tls)
        client.max_inflight_messages_set(INFLIGHT_LIMIT)
        client.reconnect_delay_set(min_delay=1, max_delay=15)
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _props: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("broker refused the server", extra={"reason": str(reason)})
            return
        client.subscribe([(every_device(channel), 1) for channel in FROM_DEVICE])
        self._connections += 1
        self._up.set()
        log.info("broker connected", extra={"host": self._host, "port": self._port})

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, reason: ReasonCode, _props: Properties | None
    ) -> None:
        self._up.clear()
        if reason.is_failure:
            log.warning("broker disconnected", extra={"reason": str(reason)})

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # would end the link's thread
            log.info("message on a topic that is no text dropped")
            return
        self._receive(topic, bytes(message.payload))


def _send_at_once(_client: Client, _data: object, connection: SocketLike) -> None:
    """Let no small message wait for another's acknowledgement."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[attr-defined]  # never a websocket


def _ignore(topic: str, body: bytes) -> None:
    """Take a message that comes before anybody listens."""
    del topic, body


class _Sent:
    def __init__(self, info: MQTTMessageInfo) -> None:
        self._info = info

    def wait(self, timeout_s: float) -> bool:
        """Return whether the broker has it, at the latest after that long."""
        # ValueError, RuntimeError: never queued, or the connection went away; then it did not arrive
        with contextlib.suppress(ValueError, RuntimeError):
            if timeout_s > 0:
                self._info.wait_for_publish(timeout_s)
            return self._info.is_published()
        return False
