"""A second pair of eyes on the wire: which chunks a device asks for and which the server publishes, and when.

The witness is a client of the fleet's own mosquitto, with a certificate and one rule of its own: it may read what
concerns one device. It comes back as soon as a broker listens again, before devices do, which wait a while.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contracts.chunks import ChunkAnswer, ChunkRequest
from contracts.codec import decode
from contracts.ids import DEFAULT_TENANT, DeviceId, Digest
from contracts.topics import Channel, device_topic, parse_topic
from fleet_server.broker.mosquitto import find_mosquitto
from fleet_server.identity.authority import device_name, load_authority
from fleet_server.identity.folder import IdentityFolder
from fleet_server.releases.transfer import wanted
from tests.fakes.identities import Registry

WATCHED = (Channel.CHUNK_REQUEST, Channel.CHUNK)
_NAME = DeviceId("witness")
_RETRY_S = 0.02
_WRAPPER = """#!/bin/sh
printf '\\nuser {name}\\ntopic read es/#\\n' >> "${{2%.conf}}.acl"
exec {mosquitto} "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of the device: which chunks the server is to send, and when it was seen."""

    at_s: float
    index: Digest
    places: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A chunk from the server, and when it was seen."""

    at_s: float
    index: Digest
    place: int
    length: int


@dataclass(slots=True, kw_only=True)
class Witness:
    """What was seen so far; ``sessions`` counts how often it was let in."""

    data: Path
    device: DeviceId
    asked: list[Asked] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    sessions: int = 0

    def watch(self, stop: threading.Event) -> None:
        """Watch until stopped, across any number of brokers."""
        folder = IdentityFolder.of(self.data)
        papers = Registry(folder=folder, authority=load_authority(folder)).papers(_NAME)
        port = int((self.data / "broker" / "port").read_text(encoding="ascii"))
        while not stop.wait(_RETRY_S):
            client = paho.Client(
                CallbackAPIVersion.VERSION2,
                client_id=device_name(DEFAULT_TENANT, _NAME),
                protocol=paho.MQTTv311,
                reconnect_on_failure=False,
            )
            client.tls_set_context(papers.tls())
            client.on_connect = self._subscribe
            client.on_message = self._see
            with contextlib.suppress(OSError):
                client.connect("127.0.0.1", port)
                while client.loop(0.1) is paho.MQTT_ERR_SUCCESS and not stop.is_set():
                    pass
            client.disconnect()

    def _subscribe(self, client: paho.Client, *_: object) -> None:
        client.subscribe([(device_topic(DEFAULT_TENANT, self.device, channel), 1) for channel in WATCHED])
        self.sessions += 1

    def _see(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        now_s = time.monotonic()
        if parse_topic(message.topic).channel is Channel.CHUNK_REQUEST:
            request = decode(ChunkRequest, bytes(message.payload))
            places = frozenset(wanted(request, request.first + 8 * len(request.missing)))
            self.asked.append(Asked(at_s=now_s, index=request.index, places=places))
            return
        answer = decode(ChunkAnswer, bytes(message.payload))
        self.published.append(Published(at_s=now_s, index=answer.index, place=answer.place, length=len(answer.data)))


def path_with_room_for_a_witness(folder: Path) -> str:
    """Return the PATH on which a mosquitto that knows the witness is found before the real one."""
    folder.mkdir()
    wrapper = folder / "mosquitto"
    wrapper.write_text(
        _WRAPPER.format(name=device_name(DEFAULT_TENANT, _NAME), mosquitto=find_mosquitto()), encoding="ascii"
    )
    wrapper.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@contextmanager
def watching(witness: Witness) -> Iterator[Witness]:
    """Let the witness watch meanwhile."""
    stop = threading.Event()
    thread = threading.Thread(target=witness.watch, args=(stop,), name="witness")
    thread.start()
    try:
        yield witness
    finally:
        stop.set()
        thread.join()
