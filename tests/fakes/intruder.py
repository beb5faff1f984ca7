"""An MQTT client that does what it likes: any client id, any topic, any TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE_S = 10.0


class Intruder:
    """One connection; ``connected`` says whether the broker let it in, ``heard`` what it was sent."""

    def __init__(self, port: int, tls: ssl.SSLContext | None, *, client_id: str, will: str = "") -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._answered = threading.Event()
        self._over = threading.Event()
        self._subscribed = threading.Event()
        self._granted = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311, reconnect_on_failure=False
        )
        if tls is not None:
            self._client.tls_set_context(tls)
        if will:
            self._client.will_set(will, b"forged", qos=1)
        self._client.on_connect = self._note_answer
        self._client.on_disconnect = lambda *_: self._end()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.heard.append(
            (message.topic, bytes(message.payload))
        )
        try:
            self._client.connect("127.0.0.1", port)
        except OSError:
            self._end()
            return
        self._client.loop_start()
        assert self._answered.wait(PATIENCE_S)

    @property
    def connected(self) -> bool:
        """Whether the broker let it in, and it still is."""
        return self._granted and not self._over.is_set()

    def wait_ended(self) -> bool:
        """Return whether its session ends within the patience."""
        return self._over.wait(PATIENCE_S)

    def subscribe(self, *topics: str) -> None:
        """Ask for the topics, and return once the broker has answered, whatever it says."""
        self._subscribed.clear()
        self._client.subscribe([(topic, 1) for topic in topics])
        self._subscribed.wait(PATIENCE_S)

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        """Send, and return once the broker has answered or hung up."""
        with contextlib.suppress(RuntimeError, ValueError):
            self._client.publish(topic, data, qos=1, retain=retain).wait_for_publish(2.0)

    def vanish(self) -> None:
        """End without a word, so that a will is due."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _note_answer(self, _client: object, _data: object, _flags: object, reason: object, _more: object) -> None:
        self._granted = not getattr(reason, "is_failure", True)
        self._answered.set()

    def _end(self) -> None:
        self._over.set()
        self._answered.set()


def settle() -> None:
    """Let a message that was let through arrive: what must not come cannot be waited for."""
    time.sleep(0.4)
