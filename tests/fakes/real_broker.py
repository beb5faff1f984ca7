"""A real broker of the server's own making as a test's post office, and a paho client as the server's end."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contracts.topics import FROM_DEVICE, every_device
from fleet_server.broker.child import ChildBroker, settled_port
from fleet_server.identity.authority import SERVER_NAME
from fleet_server.identity.folder import IdentityFolder
from tests.fakes.identities import Registry

Starter = Callable[[Path, int, IdentityFolder], ChildBroker]
Hear = Callable[[str, bytes], None]
CONNECT_S = 20.0


class ServerEnd:
    """The server's client: hears every device, publishes with QoS 1."""

    def __init__(self, port: int, tls: ssl.SSLContext, hear: Hear) -> None:
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=SERVER_NAME, protocol=paho.MQTTv311)
        self._client.tls_set_context(tls)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: hear(message.topic, bytes(message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait_connected()

    def wait_connected(self) -> None:
        """Return once the subscriptions stand."""
        assert self._subscribed.wait(CONNECT_S)

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, data, qos=1, retain=retain)

    def forget_session(self) -> None:
        """Know that the session is gone, so that ``wait_connected`` waits for the next."""
        self._subscribed.clear()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: paho.Client, *_: object) -> None:
        client.subscribe([(every_device(channel), 1) for channel in FROM_DEVICE])


class RealBroker:
    """A broker process that can be killed and started again on its port."""

    def __init__(self, folder: Path, start: Starter) -> None:
        self._folder = folder
        self._start = start
        self.registry = Registry.make(folder)
        self.port = settled_port(folder, 0)
        self._child = start(folder, self.port, self.registry.folder)

    @property
    def child(self) -> ChildBroker:
        """The process that runs now."""
        return self._child

    def restart(self) -> None:
        """Kill it and start it anew; retained messages are gone."""
        self._child.process.kill()
        self._child.process.wait()
        self._child.stop()
        self._child = self._start(self._folder, self.port, self.registry.folder)

    def reload(self) -> None:
        """Make it read certificates and revocations again."""
        self._child.reload()

    def stop(self) -> None:
        self._child.stop()
