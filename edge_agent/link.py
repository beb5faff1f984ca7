"""The device's line to the broker: connect, stay connected, carry messages. It decides nothing else.

MQTT 3.1.1 over TLS, under the device's certificate, with clean sessions: everything that matters is asked for
again, retained, or in the outbox, so a broker may lose what it likes [wire-2.3]. After a session ends the next one
starts after a random wait of up to 1, 2, 4 ... 60 s (full jitter); the steps start over only after a session that
lived 30 s, so a broker that accepts and then drops us is not stormed.
"""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from contracts.errors import TopicError
from contracts.ids import DeviceId, TenantId
from contracts.topics import TO_DEVICE, Channel, device_topic, parse_topic

if TYPE_CHECKING:
    import paho.mqtt.client as paho

    from edge_agent.clock import Clock
    from edge_agent.identity.credentials import Credentials

log = logging.getLogger(__name__)

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
LONGEST_WAIT_S = 60.0
STEADY_AFTER_S = 30.0


Taken = Callable[[], None]


class Receiver(Protocol):
    """Whoever the messages are for. Called from the link's thread; it must not block."""

    def received(self, channel: Channel, data: bytes, taken: Taken) -> None:
        """Take one message; call ``taken`` once it is dealt with, from any thread.

        Until then it holds a place in the broker's window of unacknowledged messages, so that no more come than this
        device deals with.
        """
        ...

    def connected(self) -> None:
        """Know that a session began: what was sent before it may be lost."""
        ...


class Link(Protocol):
    """A line to the broker; ``tests/conformance/link_laws.py`` says what every one keeps."""

    def start(self, receiver: Receiver) -> None:
        """Begin to connect, now and after every loss, until ``stop``."""
        ...

    def publish(self, channel: Channel, data: bytes) -> None:
        """Send once if connected, else drop it; never blocks for the network."""
        ...

    def stop(self) -> None:
        """End the session; no message is handed over afterwards."""
        ...


class Backoff:
    """How long to wait before the next session.

    >>> backoff = Backoff(random.Random(7))
    >>> [0.0 <= backoff.wait_s(session_s=0.0) <= limit for limit in (1, 2, 4, 8, 16, 32, 60, 60)]
    [True, True, True, True, True, True, True, True]
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._failures = 0

    def wait_s(self, *, session_s: float) -> float:
        """Return the wait after a session that lived so long (0: none came about)."""
        self._failures = 0 if session_s >= STEADY_AFTER_S else self._failures
        longest = min(LONGEST_WAIT_S, 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        return self._chance.uniform(0.0, longest)


class MqttLink:
    """The line over paho-mqtt; one paho client a session, so nothing stale is ever resent."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tenant: TenantId,
        device: DeviceId,
        credentials: Credentials,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self._address = (host, port)
        self._credentials = credentials
        self._tenant = tenant
        self._device = device
        self._clock = clock
        self._backoff = Backoff(chance)
        self._stop = threading.Event()
        self._session: paho.Client | None = None
        self._thread: threading.Thread | None = None
        self._failures: set[tuple[str, str]] = set()

    def start(self, receiver: Receiver) -> None:
        """Begin to connect in a thread of its own."""
        self._thread = threading.Thread(target=self._keep_connected, args=(receiver,), name="link", daemon=True)
        self._thread.start()

    def publish(self, channel: Channel, data: bytes) -> None:
        """Send with QoS 1 if connected, else drop it."""
        session = self._session
        if session is not None:
            session.publish(device_topic(self._tenant, self._device, channel), data, qos=1)

    def stop(self) -> None:
        """End the session and the thread."""
        self._stop.set()
        session = self._session
        if session is not None:
            session.disconnect()
        if self._thread is not None:
            self._thread.join(CONNECT_TIMEOUT_S + 5.0)

    def _keep_connected(self, receiver: Receiver) -> None:
        while not self._stop.is_set():
            began_s = self._clock.monotonic_s()
            try:
                self._live(receiver)
                lived_s = self._clock.monotonic_s() - began_s
            except (OSError, ValueError) as error:
                log.info("broker not reached", extra={"broker": self._address, "reason": str(error)})
                lived_s = 0.0
            self._stop.wait(self._backoff.wait_s(session_s=lived_s))

    def _live(self, receiver: Receiver) -> None:
        """Connect, and return when the session is over."""
        over, begun = threading.Event(), threading.Event()
        version = self._credentials.version
        client = self._client(receiver, over, begun)
        try:
            client.connect(*self._address, keepalive=KEEPALIVE_S)
            client.loop_start()
            while not (over.wait(1.0) or self._stop.is_set() or self._credentials.version != version):
                pass
            if over.is_set() and not begun.is_set():
                self._credentials.note_refusal()
        except ssl.SSLCertVerificationError:
            raise  # the broker's certificate, not ours
        except ssl.SSLError:
            self._credentials.note_refusal()
            raise
        finally:
            self._session = None
            with contextlib.suppress(OSError, ValueError):
                client.disconnect()
            client.loop_stop()

    def _client(self, receiver: Receiver, over: threading.Event, begun: threading.Event) -> paho.Client:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        client = _session_kind(over)(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._tenant}/d/{self._device}",  # as its certificate: brokers take no other
            protocol=paho.MQTTv311,
            clean_session=True,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.tls_set_context(self._credentials.tls())
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = 64

        def on_connect(session: paho.Client, _data: object, _flags: object, reason: object, _more: object) -> None:
            if getattr(reason, "is_failure", False):
                log.warning("broker refused the session", extra={"broker": self._address, "reason": str(reason)})
                over.set()
                return
            begun.set()
            session.subscribe([(device_topic(self._tenant, self._device, channel), 1) for channel in TO_DEVICE])

        def on_subscribe(session: paho.Client, _data: object, _mid: int, _reasons: object, _more: object) -> None:
            if not self._stop.is_set():
                self._session = session
                log.info("connected to %s:%d", *self._address)
                receiver.connected()

        def on_message(session: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
            self._hand_over(receiver, message, partial(session.ack, message.mid, message.qos))

        def on_disconnect(*_more: object) -> None:
            over.set()

        client.on_socket_open = _send_at_once
        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_message = on_message
        client.on_disconnect = on_disconnect
        return client

    def _hand_over(self, receiver: Receiver, message: paho.MQTTMessage, acknowledge: Callable[[], object]) -> None:
        """Give one message to its receiver. What it cannot bear must not end paho's thread: the line would be dead."""
        channel = "unknown"
        try:
            topic = parse_topic(message.topic)
            channel = topic.channel
            if topic.device == self._device and not self._stop.is_set():
                receiver.received(topic.channel, bytes(message.payload), lambda: _quietly(acknowledge))
                return
        except TopicError:
            pass
        except Exception as error:  # noqa: BLE001 (supervised: logged without its text, which may hold what was sent)
            self._note_failure(channel, type(error).__name__)
        _quietly(acknowledge)

    def _note_failure(self, channel: str, error: str) -> None:
        """Log each kind of failure once: whoever sends such messages must not fill the disk."""
        if (channel, error) not in self._failures:
            self._failures.add((channel, error))
            log.error("message dropped", extra={"channel": channel, "error": error})


def _send_at_once(_session: paho.Client, _data: object, connection: paho.SocketLike) -> None:
    """Let no small message wait for another's acknowledgement: forty milliseconds for each window of chunks."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[attr-defined]  # never a websocket


def _quietly(acknowledge: Callable[[], object]) -> None:
    """Acknowledge; where the session has ended meanwhile nobody waits for it."""
    with contextlib.suppress(OSError, ValueError):
        acknowledge()


def _session_kind(over: threading.Event) -> type[paho.Client]:
    """Return paho's client, made to say that the session is over also where an error ends its thread."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import MQTTErrorCode

    class Session(paho.Client):
        def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:  # noqa: FBT001, FBT002 (paho's signature)
            try:
                return super().loop_forever(timeout, retry_first_connection)
            finally:
                over.set()

    return Session
