"""Answers to devices' requests for signed metadata and chunks.

The courier keeps no transfer state: a request says all that is needed [wire-5.1], a chunk is served to a
device whose offered or running release contains it [wire-5.5]. Who asked for what leaves with ``delivery.sending``, in
a worker of its own, so that neither a busy database nor a slow device slows a download. What was asked for is counted
on the side, by a third one.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.chunks import NOT_ASSIGNED, ChunkAnswer, ChunkRequest
from contracts.codec import decode, encode
from contracts.errors import ContractError
from contracts.ids import DeviceId, Digest, TenantId, parse_digest
from contracts.metadata import MetadataRequest
from contracts.topics import Channel, DeviceTopic, device_topic
from fleet_server.broker.waiting import Waiting
from fleet_server.database.session import reading, transaction
from fleet_server.delivery.recipient import find_share
from fleet_server.delivery.sending import Piece
from fleet_server.errors import FleetServerError
from fleet_server.releases import store
from fleet_server.releases.transfer import count, wanted

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from fleet_server.broker.link import Publisher, Sent
    from fleet_server.clock import Clock
    from fleet_server.delivery.cuts import Cuts
    from fleet_server.delivery.recipient import Recipient
    from fleet_server.delivery.sending import Sending
    from fleet_server.releases.answers import Answers

log = logging.getLogger(__name__)

QUEUE_LIMIT = 2_000
WINDOW = 64
"""Metadata and refusals on their way to the broker: bounds memory to about 4 MB."""
SEND_TIMEOUT_S = 5.0
TALLY_LIMIT = 500
_WAIT_S = 0.2
_TALLY_S = 0.5


@dataclass(frozen=True, slots=True)
class _Asked:
    topic: DeviceTopic
    request: ChunkRequest
    artifact: Digest
    chunks: int


class Courier:
    """Three workers: ``run`` reads requests, ``run_sending`` sends chunks, ``run_tally`` counts."""

    def __init__(
        self, engine: Engine, clock: Clock, *, publisher: Publisher, answers: Answers, cuts: Cuts, sending: Sending
    ) -> None:
        """Start with nothing to do."""
        self._engine = engine
        self._clock = clock
        self._cuts = cuts
        self._sending = sending
        self._publisher = publisher
        self._answers = answers
        self._requests = Waiting(QUEUE_LIMIT)
        self._counts: Counter[str] = Counter()
        self._asked: queue.Queue[_Asked] = queue.Queue(QUEUE_LIMIT)
        self._uncounted: list[_Asked] = []
        self._published: Counter[tuple[Recipient, Digest]] = Counter()
        self._window: deque[Sent] = deque()

    @property
    def counts(self) -> dict[str, int]:
        """How many requests were not answered, by reason; and what ``sending`` counts."""
        return dict(self._counts) | self._sending.counts

    def receive(self, topic: DeviceTopic, body: bytes) -> None:
        """Let the request wait; where there is no room, the device will ask again."""
        try:
            self._requests.put(topic, body)
        except queue.Full:
            self._counts["overloaded"] += 1

    def run(self, stop: threading.Event) -> None:
        """Answer until stopped."""
        while not stop.is_set():
            with contextlib.suppress(queue.Empty):
                topic, body = self._requests.take(_WAIT_S)
                self.answer(topic, body)

    def run_sending(self, stop: threading.Event) -> None:
        """Send chunks until stopped."""
        self._sending.run(stop)

    def run_tally(self, stop: threading.Event) -> None:
        """Count until stopped; what is waiting then is counted first."""
        while not stop.wait(_TALLY_S):
            self.tally()
        self.tally()

    def answer(self, topic: DeviceTopic, body: bytes) -> None:
        """Send what the request asks for, or why not."""
        try:
            if topic.channel is Channel.CHUNK_REQUEST:
                self._send_chunks(topic, decode(ChunkRequest, body))
            else:
                self._send_metadata(topic, decode(MetadataRequest, body))
        except (ContractError, FleetServerError) as error:
            self._counts[error.code] += 1
            log.info("request not answered", extra={"device": topic.device, "reason": str(error)})
        except Exception as error:  # noqa: BLE001 - the supervised boundary: no request costs another one
            self._counts["failed"] += 1
            log.warning("request failed", extra={"device": topic.device, "error": type(error).__name__})

    def tally(self) -> None:
        """Write down what was asked for and published; what the database does not take is kept for the next time."""
        self._published += self._sending.take_published()  # before the requests that it answers: these have the row
        with contextlib.suppress(queue.Empty):
            while len(self._uncounted) < TALLY_LIMIT:
                self._uncounted.append(self._asked.get_nowait())
        if self._uncounted or self._published:
            self._write_counters(self._uncounted, self._published)
            self._uncounted.clear()
            self._published.clear()

    def _send_chunks(self, topic: DeviceTopic, request: ChunkRequest) -> None:
        digest = parse_digest(request.index)
        with reading(self._engine) as session:
            share = find_share(session, topic.tenant, topic.device)
        if share is None or digest not in share.artifacts:
            refusal = ChunkAnswer(index=digest, place=0, data=b"", refusal=NOT_ASSIGNED)
            self._send(topic, Channel.CHUNK, encode(refusal))
            return
        cut = self._cuts.find(topic.tenant, digest)
        with contextlib.suppress(queue.Full):  # the count falls behind; no download waits for it
            self._asked.put_nowait(_Asked(topic, request, share.artifacts[digest], len(cut)))
        places = wanted(request, len(cut))
        self._sending.put(
            share.recipient, (Piece(index=digest, place=place, digest=cut.digest(place)) for place in places)
        )

    def _send_metadata(self, topic: DeviceTopic, request: MetadataRequest) -> None:
        for part in self._answers.parts(topic, request):
            self._send(topic, Channel.META, encode(part))

    def _send(self, topic: DeviceTopic, channel: Channel, body: bytes) -> None:
        if not self._publisher.connected:
            return
        if len(self._window) >= WINDOW:
            self._window.popleft().wait(SEND_TIMEOUT_S)
        self._window.append(self._publisher.publish(device_topic(topic.tenant, topic.device, channel), body))

    def _write_counters(self, asked: Sequence[_Asked], published: Mapping[tuple[Recipient, Digest], int]) -> None:
        now = self._clock.now()
        with transaction(self._engine) as session:
            for key, entries in _by_transfer(asked).items():
                counters = store.find_counters(session, *key)
                for entry in entries:
                    counters = count(counters, entry.request, entry.chunks)
                last = entries[-1]
                store.put_counters(
                    session, *key, chunks=last.chunks, counters=counters, artifact=last.artifact, now=now
                )
            for (recipient, index), length in published.items():
                store.add_published(session, recipient.tenant, recipient.device, index, length=length)


def _by_transfer(asked: Sequence[_Asked]) -> dict[tuple[TenantId, DeviceId, Digest], list[_Asked]]:
    """Return the requests of each device for each index, in order: one write for them all."""
    found: dict[tuple[TenantId, DeviceId, Digest], list[_Asked]] = {}
    for entry in asked:
        key = (entry.topic.tenant, entry.topic.device, Digest(entry.request.index))
        found.setdefault(key, []).append(entry)
    return found
