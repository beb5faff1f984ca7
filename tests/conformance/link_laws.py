"""What every line to a broker keeps, whatever broker is at its end.

Subclass ``LinkLaws`` with a ``post`` fixture: a broker, a link for ``pi-1`` on it, and the server's side of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from contracts.ids import DEFAULT_TENANT, parse_device_id
from contracts.topics import Channel, device_topic
from edge_agent.link import Link, Taken

DEVICE = parse_device_id("pi-1")
OFFER = device_topic(DEFAULT_TENANT, DEVICE, Channel.OFFER)
CHUNK = device_topic(DEFAULT_TENANT, DEVICE, Channel.CHUNK)
REPORT = device_topic(DEFAULT_TENANT, DEVICE, Channel.REPORT)
STRANGERS_OFFER = device_topic(DEFAULT_TENANT, parse_device_id("pi-2"), Channel.OFFER)
PATIENCE_S = 20.0


class Post(Protocol):
    """One broker with a device at one end and the server at the other."""

    @property
    def link(self) -> Link:
        """The device's end."""
        ...

    @property
    def heard(self) -> list[tuple[str, bytes]]:
        """What reached the server's end, in order."""
        ...

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        """Send from the server's end."""
        ...

    def drop(self) -> None:
        """End every session; the broker is back at once, without what it did not retain."""
        ...


class Box:
    """Implements ``Receiver``: keeps what it is given."""

    def __init__(self) -> None:
        self.letters: list[tuple[Channel, bytes]] = []
        self.sessions = 0
        self.acknowledges = True
        self._held: list[Taken] = []
        self._news = threading.Condition()

    def received(self, channel: Channel, data: bytes, taken: Taken) -> None:
        with self._news:
            self.letters.append((channel, data))
            self._held.append(taken)
            self._news.notify_all()
        if self.acknowledges:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Be done with all that came."""
        while self._held:
            self._held.pop(0)()

    def connected(self) -> None:
        with self._news:
            self.sessions += 1
            self._news.notify_all()

    def wait(self, true: Callable[[], bool]) -> None:
        """Return once it is true, or fail."""
        with self._news:
            assert self._news.wait_for(true, PATIENCE_S), (self.letters, self.sessions)


def wait_until(true: Callable[[], bool]) -> None:
    """Return once it is true, or fail."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class LinkLaws:
    """The laws; each test gets a fresh post."""

    def test_what_the_server_sends_arrives_with_its_channel(self, post: Post) -> None:
        box = Box()
        post.link.start(box)
        box.wait(lambda: box.sessions == 1)

        post.publish(CHUNK, b"\x00\xff chunk")

        box.wait(lambda: bool(box.letters))
        assert box.letters == [(Channel.CHUNK, b"\x00\xff chunk")]

    def test_a_full_sized_chunk_arrives_whole(self, post: Post) -> None:
        box = Box()
        post.link.start(box)
        box.wait(lambda: box.sessions == 1)

        post.publish(CHUNK, bytes(range(256)) * 480)

        box.wait(lambda: bool(box.letters))
        assert box.letters == [(Channel.CHUNK, bytes(range(256)) * 480)]

    def test_a_retained_offer_comes_with_every_session(self, post: Post) -> None:
        box = Box()
        post.publish(OFFER, b"offer", retain=True)

        post.link.start(box)

        box.wait(lambda: bool(box.letters))
        assert box.letters == [(Channel.OFFER, b"offer")]

    def test_what_is_for_another_device_does_not_arrive(self, post: Post) -> None:
        box = Box()
        post.link.start(box)
        box.wait(lambda: box.sessions == 1)

        post.publish(STRANGERS_OFFER, b"not mine")
        post.publish(CHUNK, b"mine")

        box.wait(lambda: bool(box.letters))
        assert box.letters == [(Channel.CHUNK, b"mine")]

    def test_what_the_device_sends_reaches_the_server_in_order(self, post: Post) -> None:
        box = Box()
        post.link.start(box)
        box.wait(lambda: box.sessions == 1)

        post.link.publish(Channel.REPORT, b"first")
        post.link.publish(Channel.REPORT, b"second")

        wait_until(lambda: len(post.heard) == 2)
        assert post.heard == [(REPORT, b"first"), (REPORT, b"second")]

    def test_a_lost_session_is_followed_by_another(self, post: Post) -> None:
        box = Box()
        post.link.start(box)
        box.wait(lambda: box.sessions == 1)

        post.drop()

        box.wait(lambda: box.sessions == 2)
        post.publish(CHUNK, b"again")
        box.wait(lambda: bool(box.letters))
        assert (Channel.CHUNK, b"again") in box.letters

    def test_publishing_without_a_session_is_dropped_and_harms_nothing(self, post: Post) -> None:
        box = Box()
        post.link.publish(Channel.REPORT, b"into the void")

        post.link.start(box)
        box.wait(lambda: box.sessions == 1)
        post.link.publish(Channel.REPORT, b"heard")

        wait_until(lambda: bool(post.heard))
        assert post.heard == [(REPORT, b"heard")]

    def test_nothing_is_handed_over_after_stop(self, post: Post) -> None:
        box = Box()
        post.link.start(box)
        box.wait(lambda: box.sessions == 1)

        post.link.stop()
        post.publish(CHUNK, b"too late")

        assert box.letters == []
