"""``python -m tests.long.lossy_relay LEFT RIGHT LOSS ONE_WAY_S SEED COUNTERS``: a wire that drops and delays.

Two TUN interfaces, one at each end; every IP packet that enters one leaves the other after the delay, or never.
What was seen and dropped is counted for each direction and written to the file once a second and at SIGTERM.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import heapq
import json
import os
import random
import selectors
import signal
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PACKET_BYTES = 65_536
_BURST = 64
_LONGEST_WAIT_S = 0.2
_DOWN_S = 0.01


@dataclass(slots=True, kw_only=True)
class Direction:
    """One direction of the wire: packets and bytes that entered, and those of them that were dropped."""

    packets: int = 0
    bytes: int = 0
    dropped_packets: int = 0
    dropped_bytes: int = 0
    refused_packets: int = 0


@dataclass(slots=True, kw_only=True)
class Wire:
    """Both directions, and the packets under way: (due, number, interface that they leave by, packet)."""

    loss: float
    one_way_s: float
    chance: random.Random
    directions: dict[int, Direction] = field(default_factory=dict)
    under_way: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    number: int = 0

    def take(self, entered: int, leaves: int, packet: bytes, *, now_s: float) -> None:
        """Count the packet, and drop it or send it on its way."""
        counted = self.directions[entered]
        counted.packets += 1
        counted.bytes += len(packet)
        if self.chance.random() < self.loss:
            counted.dropped_packets += 1
            counted.dropped_bytes += len(packet)
            return
        self.number += 1
        heapq.heappush(self.under_way, (now_s + self.one_way_s, self.number, leaves, packet))

    def deliver(self, *, now_s: float) -> None:
        """Let everything that is due leave."""
        while self.under_way and self.under_way[0][0] <= now_s:
            _, _, leaves, packet = heapq.heappop(self.under_way)
            try:
                os.write(leaves, packet)
            except OSError:  # the interface is down, or its queue is full: as on a real wire, the packet is gone
                self.directions[leaves].refused_packets += 1

    def wait_s(self, *, now_s: float) -> float:
        """Return how long nothing is due."""
        return max(0.0, min(_LONGEST_WAIT_S, self.under_way[0][0] - now_s)) if self.under_way else _LONGEST_WAIT_S


def main(arguments: list[str]) -> int:
    """Carry packets until SIGTERM."""
    left_name, right_name, loss, one_way_s, seed, counters = arguments
    left, right = _interface(left_name), _interface(right_name)
    wire = Wire(loss=float(loss), one_way_s=float(one_way_s), chance=random.Random(int(seed)))
    wire.directions = {left: Direction(), right: Direction()}
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with selectors.DefaultSelector() as selector:
        selector.register(left, selectors.EVENT_READ, right)
        selector.register(right, selectors.EVENT_READ, left)
        written_s = 0.0
        while not stopped:
            for key, _ in selector.select(wire.wait_s(now_s=time.monotonic())):
                _read(wire, key.fd, key.data)
            now_s = time.monotonic()
            wire.deliver(now_s=now_s)
            if now_s - written_s > 1.0:
                written_s = now_s
                _write(wire, (left, right), Path(counters))
    _write(wire, (left, right), Path(counters))
    return 0


def _read(wire: Wire, entered: int, leaves: int) -> None:
    with contextlib.suppress(BlockingIOError):
        for _ in range(_BURST):
            try:
                packet = os.read(entered, _PACKET_BYTES)
            except OSError as error:
                if error.errno == errno.EBADFD:  # not up yet, or taken away
                    time.sleep(_DOWN_S)
                    return
                raise
            wire.take(entered, leaves, packet, now_s=time.monotonic())


def _interface(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return descriptor


def _write(wire: Wire, ends: tuple[int, int], path: Path) -> None:
    told = {name: asdict(wire.directions[end]) for name, end in zip(("left", "right"), ends, strict=True)}
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(told), encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
