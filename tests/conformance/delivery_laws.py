"""What every delivery keeps, whatever broker carries it: loss costs what was lost, and nothing is believed.

Subclass ``DeliveryLaws`` with a ``post`` fixture, as for ``link_laws``. The server's end is small and stateless: each
request is answered from what it says alone, and each answer meets the fate that the test chose.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.chunks import ChunkAnswer, ChunkIndex, ChunkRequest, cut, pieces, places
from contracts.codec import decode, encode
from contracts.envelope import ReportAck, ReportKind
from contracts.ids import DEFAULT_TENANT, BootId, ProfileName, ReleaseId, RolloutId, digest_of
from contracts.metadata import PART_BYTES, MetadataAnswer, MetadataRequest
from contracts.release import ReleasedArtifact, TargetCustom
from contracts.topics import Channel, device_topic, parse_topic
from contracts.update import UpdateReport, UpdateState
from edge_agent.clock import SystemClock
from edge_agent.delivery.courier import Courier, Patience
from edge_agent.delivery.fetch import Fetcher
from edge_agent.disk import SystemDisk
from edge_agent.outbox import Outbox, Sender
from edge_agent.update.worker import Mailroom, Taken
from tests.conformance.link_laws import CHUNK, DEVICE, Post, wait_until
from tests.fakes.clock import START

DATA = random.Random(11).randbytes(2_000_000)
INDEX = cut(DATA)
BODY = encode(INDEX)
CHUNKS = list(pieces(DATA, INDEX.lengths))
META = device_topic(DEFAULT_TENANT, DEVICE, Channel.META)
ACK = device_topic(DEFAULT_TENANT, DEVICE, Channel.ACK)
WINDOW_BYTES = 1024 * 1024
REPORT = UpdateReport(
    rollout=RolloutId("rollout-1"),
    generation=1,
    attempt=1,
    release=ReleaseId("digits@1"),
    state=UpdateState.HEALTHY,
    running="digits@1",
    at=START,
)
Fate = Callable[[int, int], int]
"""How many times the answer is sent for a place that is asked for the n-th time."""


def _once(_place: int, _time: int) -> int:
    return 1


class Answerer:
    """Answers what the post hears, in a thread of its own."""

    def __init__(self, post: Post) -> None:
        self.asked: Counter[int] = Counter()
        self.asked_before_first = 0
        self.sent_bytes = 0
        self.fate: Fate = _once
        self.backwards = False
        self._post = post
        self._first = 0
        self._read = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            while self._read < len(self._post.heard):
                topic, data = self._post.heard[self._read]
                self._read += 1
                self._answer(parse_topic(topic).channel, data)

    def _answer(self, channel: Channel, data: bytes) -> None:
        if channel is Channel.META_REQUEST:
            asked = decode(MetadataRequest, data)
            parts = [BODY[start : start + PART_BYTES] for start in range(0, len(BODY), PART_BYTES)]
            for part, content in enumerate(parts):
                answer = MetadataAnswer(
                    name=asked.name, request=asked.request, part=part, parts=len(parts), data=content
                )
                self._post.publish(META, encode(answer))
        elif channel is Channel.CHUNK_REQUEST:
            self._send(decode(ChunkRequest, data))

    def _send(self, request: ChunkRequest) -> None:
        wanted = list(places(request.missing, request.first))[: request.credit]
        self.asked_before_first += sum(place < self._first for place in wanted)
        self._first = max(self._first, request.first)
        for place in reversed(wanted) if self.backwards else wanted:
            self.asked[place] += 1
            for _ in range(self.fate(place, self.asked[place])):
                self.sent_bytes += len(CHUNKS[place])
                self._post.publish(CHUNK, encode(ChunkAnswer(index=request.index, place=place, data=CHUNKS[place])))


class Wire:
    """Implements ``Receiver`` for a mailroom."""

    def __init__(self) -> None:
        self.mailroom = Mailroom()
        self.acks: list[ReportAck] = []

    def received(self, channel: Channel, data: bytes, taken: Taken) -> None:
        if channel is Channel.ACK:
            self.acks.append(decode(ReportAck, data))
            taken()
        else:
            self.mailroom.deliver(channel, data, taken)

    def connected(self) -> None:
        self.mailroom.connected()


def released(index: ChunkIndex = INDEX) -> ReleasedArtifact:
    """Return what would be signed of the data."""
    custom = TargetCustom(
        release=ReleaseId("digits@1"),
        counter=1,
        profile=ProfileName("pi"),
        index=digest_of(BODY),
        index_length=len(BODY),
        min_agent_version="0.1.0",
    )
    return ReleasedArtifact(
        path="digits/1/pi.artifact",
        profile=ProfileName("pi"),
        digest=index.artifact,
        length=sum(index.lengths),
        custom=custom,
    )


class DeliveryLaws:
    """The laws; each test gets a fresh post."""

    @pytest.fixture
    def server(self, post: Post) -> Iterator[Answerer]:
        server = Answerer(post)
        yield server
        server.close()

    @pytest.fixture
    def wire(self, post: Post) -> Iterator[Wire]:
        wire = Wire()
        post.link.start(wire)
        wait_until(lambda: wire.mailroom.sessions == 1)
        yield wire
        wire.mailroom.stop()

    def test_every_chunk_comes_and_none_is_sent_twice(
        self, post: Post, server: Answerer, wire: Wire, tmp_path: Path
    ) -> None:
        path = _fetch(post, wire, tmp_path)

        assert path.read_bytes() == DATA
        assert server.sent_bytes == len(DATA)

    def test_what_is_lost_is_asked_for_again_and_nothing_else(
        self, post: Post, server: Answerer, wire: Wire, tmp_path: Path
    ) -> None:
        server.fate = lambda place, time: int(place % 7 != 3 or time > 1)

        path = _fetch(post, wire, tmp_path)

        assert path.read_bytes() == DATA
        assert server.sent_bytes == len(DATA)
        assert {place for place, times in server.asked.items() if times > 1} == set(range(3, len(CHUNKS), 7))

    def test_what_comes_twice_and_backwards_is_harmless(
        self, post: Post, server: Answerer, wire: Wire, tmp_path: Path
    ) -> None:
        server.fate, server.backwards = lambda _place, _time: 2, True

        path = _fetch(post, wire, tmp_path)

        assert path.read_bytes() == DATA
        assert set(server.asked.values()) == {1}

    def test_a_broker_that_dies_costs_at_most_what_was_on_its_way(
        self, post: Post, server: Answerer, wire: Wire, tmp_path: Path
    ) -> None:
        thread = threading.Thread(target=_fetch, args=(post, wire, tmp_path))
        server.fate = lambda place, _time: int(place < 10)
        thread.start()
        wait_until(lambda: server.asked[10] == 1)

        server.fate = _once
        post.drop()
        thread.join(60.0)

        assert (tmp_path / "fetch" / digest_of(BODY) / "data").read_bytes() == DATA
        assert server.asked_before_first == 0
        assert server.sent_bytes <= len(DATA) + WINDOW_BYTES

    def test_a_broker_that_took_a_report_makes_the_device_forget_nothing(
        self, post: Post, wire: Wire, tmp_path: Path
    ) -> None:
        boot = BootId("0123456789abcdef")
        sender = Sender(tenant=DEFAULT_TENANT, device=DEVICE, boot=boot, sign=lambda _: bytes(64))
        outbox = Outbox(tmp_path / "outbox.sqlite", sender)
        outbox.add(ReportKind.UPDATE, REPORT)

        post.link.publish(Channel.REPORT, outbox.first(1)[0])
        wait_until(lambda: bool(post.heard))
        post.drop()

        assert outbox.waiting() == 1
        post.publish(ACK, encode(ReportAck(boot=boot, sequence=1)))
        wait_until(lambda: bool(wire.acks))
        assert outbox.acknowledge(wire.acks[0]) == 1
        assert outbox.waiting() == 0
        outbox.close()


def _fetch(post: Post, wire: Wire, folder: Path) -> Path:
    clock = SystemClock()
    patience = Patience(first_s=1.0, chance=random.Random(7))
    courier = Courier(post.link.publish, wire.mailroom, clock=clock, patience=patience)
    fetcher = Fetcher(folder=folder / "fetch", disk=SystemDisk(), courier=courier, clock=clock, credit=16)
    return fetcher.fetch(released(), bytes_s=0, progress=lambda _done, _total: None)
