"""A broker in memory: topics, retained messages, sessions that can be cut. Nothing happens in another thread."""

from __future__ import annotations

from collections.abc import Callable

from contracts.ids import DeviceId, TenantId
from contracts.topics import TO_DEVICE, Channel, DeviceTopic, device_topic, parse_topic
from edge_agent.link import Receiver

ServerSide = Callable[[DeviceTopic, bytes], None]


class FakeBroker:
    """Carries messages between fake links and whoever plays the server."""

    def __init__(self) -> None:
        self.up = True
        self._links: list[FakeLink] = []
        self._retained: dict[str, bytes] = {}
        self._servers: list[ServerSide] = []

    def link(self, tenant: TenantId, device: DeviceId) -> FakeLink:
        """Return a line for the device; it connects when started."""
        link = FakeLink(self, tenant, device)
        self._links.append(link)
        return link

    def on_message(self, server: ServerSide) -> None:
        """Let the server side see everything that devices send."""
        self._servers.append(server)

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        """Send from the server side."""
        if retain:
            self._retained[topic] = data
        for link in self._links:
            link.deliver(topic, data)

    def from_device(self, topic: str, data: bytes) -> None:
        """Send from a device."""
        for server in self._servers:
            server(parse_topic(topic), data)

    def drop(self) -> None:
        """End every session and let the devices come back."""
        self.up = False
        self.restore()

    def restore(self) -> None:
        """Let the devices come back."""
        self.up = True
        for link in self._links:
            link.begin_session()

    def retained(self) -> dict[str, bytes]:
        """Return what a new subscriber would get."""
        return dict(self._retained)


class FakeLink:
    """Implements ``edge_agent.link.Link``."""

    def __init__(self, broker: FakeBroker, tenant: TenantId, device: DeviceId) -> None:
        self._broker = broker
        self._tenant = tenant
        self._device = device
        self._receiver: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self._broker.up:
            self.begin_session()

    def publish(self, channel: Channel, data: bytes) -> None:
        if self._receiver is not None and self._broker.up:
            self._broker.from_device(device_topic(self._tenant, self._device, channel), data)

    def stop(self) -> None:
        self._receiver = None

    def begin_session(self) -> None:
        """Subscribe anew: retained messages come again."""
        if self._receiver is not None:
            self._receiver.connected()
            for topic, data in self._broker.retained().items():
                self.deliver(topic, data)

    def deliver(self, topic: str, data: bytes) -> None:
        """Hand over what is for this device."""
        mine = {device_topic(self._tenant, self._device, channel): channel for channel in TO_DEVICE}
        if self._receiver is not None and self._broker.up and topic in mine:
            self._receiver.received(mine[topic], data, lambda: None)
