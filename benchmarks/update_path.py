"""How long, and over how many bytes, does one device take to fetch and install an artifact of 1 MB?

A real server, its mosquitto and a real agent process on this machine's loopback. Seconds run from the operator's
request to the device's HEALTHY in the server's record; bytes are topics and messages that the broker carried to
and from the device, counted by a listener.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Bar, finish, options, reported

if TYPE_CHECKING:
    from paho.mqtt.client import Client

    from contracts.ids import ReleaseId
    from tests.long.rig import Rig

QUESTION = "How long does one device take to fetch and install an artifact of 1 MB over mosquitto?"
HIDDEN = 22_600
"""Hidden numbers of the made model: weights of about 1.0 MB."""
POLL_S = 0.02
PATIENCE_S = 120.0
DEVICE = "pi-1"


@dataclass(slots=True)
class Listener:
    """Counts what the broker carries to and from the device."""

    to_device: int = 0
    from_device: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, topic: str, length: int) -> None:
        """Count one message."""
        upwards = topic.rpartition("/")[2] in ("report", "meta-request", "chunk-request")
        with self.lock:
            self.from_device += (len(topic) + length) if upwards else 0
            self.to_device += 0 if upwards else len(topic) + length

    def take(self) -> tuple[int, int]:
        """Return the bytes to and from the device since the last time."""
        with self.lock:
            taken = self.to_device, self.from_device
            self.to_device = self.from_device = 0
            return taken


def measure(*, repeats: int) -> list[Bar]:
    """Return the figures."""
    from contracts.chunks import DEFAULT_CHUNK_BYTES
    from tests.builders import TinyModel
    from tests.long.rig import rig

    seconds, down, up = [], [], []
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder)) as fleet:
        fleet.add_agent(DEVICE, sketch_window_s=3600.0)
        models = [TinyModel(hidden=HIDDEN, seed=1000 + number) for number in range(repeats + 1)]
        first, *releases = fleet.release(models, chunk_bytes=DEFAULT_CHUNK_BYTES)
        install(fleet, first)  # the first one loads the runtime
        length = (fleet.folder / "1.artifact").stat().st_size
        listener = Listener()
        client = listen(fleet, listener)
        for release in releases:
            listener.take()
            seconds.append(install(fleet, release))
            to_device, from_device = listener.take()
            down.append(to_device / 1e6)
            up.append(from_device / 1e6)
        client.loop_stop()
    return [
        reported("offer to healthy", seconds, unit="s"),
        reported("artifact", [length / 1e6] * len(seconds), unit="MB", note=f"chunks of {DEFAULT_CHUNK_BYTES} bytes"),
        reported("carried to the device", down, unit="MB"),
        reported("carried from the device", up, unit="MB"),
    ]


def install(fleet: Rig, release: ReleaseId) -> float:
    """Return the seconds until the device says HEALTHY of the release."""
    from contracts.update import UpdateState
    from edgeship.demo.narration import wait_until

    started = time.perf_counter()
    rollout = fleet.roll_out(release)

    def settled() -> bool:
        return fleet.client.rollout(rollout).devices[0].state.is_final

    wait_until(settled, patience_s=PATIENCE_S, pause_s=POLL_S)
    taken = time.perf_counter() - started
    (part,) = fleet.client.rollout(rollout).devices
    if part.state is not UpdateState.HEALTHY:
        raise SystemExit(f"{release} ended as {part.state}: {part.code} {part.detail}")
    fleet.follow(rollout, patience_s=PATIENCE_S)
    return taken


def listen(fleet: Rig, listener: Listener) -> Client:
    """Return a client that lets the listener hear all of the device's messages."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    port = int((fleet.data / "broker" / "port").read_text(encoding="ascii"))
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.on_message = lambda _client, _data, message: listener.hear(message.topic, len(message.payload))
    ready = threading.Event()
    client.on_subscribe = lambda *_: ready.set()
    client.on_connect = lambda connected, *_: connected.subscribe(f"es/+/d/{DEVICE}/#", 0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.wait(10.0)
    return client


if __name__ == "__main__":
    chosen = options(QUESTION)
    sys.exit(finish(QUESTION, measure(repeats=5 if chosen.quick else 21), chosen))
