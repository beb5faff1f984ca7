"""Two network namespaces with a bad wire between them: whoever runs in one reaches the other only through it.

Needs root, for namespaces and TUN devices. The kernel's own ``netem`` is not everywhere; the wire is
``lossy_relay``, whose counters say what it did.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NUMBERS: Final = itertools.count()
_READY_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What entered the wire at one end, in packets and bytes, and what of it was dropped."""

    packets: int
    bytes: int
    dropped_packets: int
    dropped_bytes: int
    refused_packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LossyNetwork:
    """The two ends: names of their namespaces and their addresses."""

    left: str
    right: str
    left_address: str
    right_address: str
    counters: Path

    def command(self, namespace: str, *words: str) -> list[str]:
        """Return the command that runs the words in that namespace."""
        return ["ip", "netns", "exec", namespace, *words]

    def counted(self) -> tuple[Counted, Counted]:
        """Return what entered at the left and at the right end, at most a second old."""
        told = json.loads(self.counters.read_text(encoding="utf-8"))
        return Counted(**told["left"]), Counted(**told["right"])


@contextmanager
def lossy_network(folder: Path, *, loss: float, round_trip_s: float, seed: int) -> Iterator[LossyNetwork]:
    """Give two namespaces joined by a wire that drops that share of packets each way; take all away afterwards."""
    number = next(_NUMBERS)
    mark = f"{os.getpid() % 100_000}n{number}"
    left, right = f"es{mark}l", f"es{mark}r"
    counters = folder / f"wire-{mark}.json"
    network = LossyNetwork(
        left=left, right=right, left_address="10.77.0.1", right_address="10.77.0.2", counters=counters
    )
    with ExitStack() as undo:
        command = [sys.executable, "-m", "tests.long.lossy_relay", left, right]
        command += [str(loss), str(round_trip_s / 2), str(seed), str(counters)]
        relay = subprocess.Popen(command, stdout=subprocess.PIPE)
        undo.callback(_end, relay)
        assert relay.stdout is not None
        assert relay.stdout.readline() == b"ready\n", "the wire needs root and /dev/net/tun"
        for name, own, other in (
            (left, network.left_address, network.right_address),
            (right, network.right_address, network.left_address),
        ):
            _ip("netns", "add", name)
            undo.callback(_ip, "netns", "del", name)
            _ip("link", "set", name, "netns", name)
            _ip("-n", name, "addr", "add", own, "peer", other, "dev", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", name, "up")
        _wait_for(counters)
        yield network


def _wait_for(counters: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while not counters.exists():
        assert time.monotonic() < deadline, "the wire wrote no counters"
        time.sleep(0.05)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def _end(relay: subprocess.Popen[bytes]) -> None:
    relay.terminate()
    relay.wait(10.0)
    if relay.stdout is not None:
        relay.stdout.close()
