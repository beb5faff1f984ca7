"""Chunks on their way to devices over MQTT: every device in turn, one chunk at a time, and none waits for another.

A request leaves the places that it wants in its device's queue; bytes are read when their turn comes. A device is
passed over while a bucket has no room for it, or while ``UNACKNOWLEDGED`` of its chunks lie unacknowledged at the
broker. A chunk that is asked for twice before it went out goes out once. Nothing here is state of the transfer: what is
lost with the process is asked for again.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.chunks import ChunkAnswer
from contracts.codec import encode
from contracts.ids import Digest
from contracts.topics import Channel, device_topic
from fleet_server.errors import FleetServerError

if TYPE_CHECKING:
    from fleet_server.broker.link import Publisher, Sent
    from fleet_server.delivery.buckets import Buckets
    from fleet_server.delivery.recipient import Recipient
    from fleet_server.releases.vault import Vault

log = logging.getLogger(__name__)

UNACKNOWLEDGED = 16
"""Of one device at the broker."""
UNACKNOWLEDGED_IN_ALL = 96
"""Bounds memory to about 12 MB, however many devices fetch at once."""
WAITING_A_DEVICE = 64
QUEUES_LIMIT = 5_000
GIVEN_UP_AFTER_S = 10.0
"""A message that the broker has not acknowledged by then counts as lost."""
_SHORTEST_S = 0.002
_LONGEST_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One chunk of the artifact with that index."""

    index: Digest
    place: int
    digest: Digest


@dataclass(slots=True)
class _Queue:
    recipient: Recipient
    waiting: OrderedDict[tuple[Digest, int], Piece] = field(default_factory=OrderedDict)
    sent: deque[tuple[Sent, float]] = field(default_factory=deque)
    not_before_s: float = 0.0


class Sending:
    """The queues, and the one worker that empties them."""

    def __init__(
        self, publisher: Publisher, vault: Vault, buckets: Buckets, *, monotonic_s: Callable[[], float]
    ) -> None:
        """Start with nothing to send."""
        self._publisher = publisher
        self._vault = vault
        self._buckets = buckets
        self._monotonic_s = monotonic_s
        self._queues: OrderedDict[Recipient, _Queue] = OrderedDict()
        self._lock = threading.Lock()
        self._unacknowledged = 0
        self._news = threading.Event()
        self._counts: Counter[str] = Counter()
        self._published: Counter[tuple[Recipient, Digest]] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How many chunks and bytes were ``sent``, and what was not, by reason."""
        return dict(self._counts)

    def take_published(self) -> Counter[tuple[Recipient, Digest]]:
        """Return the bytes of chunks published since the last call, by device and chunk index."""
        with self._lock:
            published, self._published = self._published, Counter()
        return published

    def put(self, recipient: Recipient, pieces: Iterable[Piece]) -> None:
        """Let the pieces wait for their turn; those of another artifact are wanted no more."""
        with self._lock:
            queue = self._queues.get(recipient)
            if queue is None:
                if len(self._queues) >= QUEUES_LIMIT:
                    self._counts["overloaded"] += 1
                    return
                queue = self._queues[recipient] = _Queue(recipient)
            for piece in pieces:
                _put(queue, piece)
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Send until stopped."""
        while not stop.is_set():
            self._news.clear()
            self._news.wait(self.send_waiting())

    def send_waiting(self) -> float:
        """Send what may be sent now, and return after how many seconds to look again at the latest."""
        while True:
            soonest_s = _LONGEST_S
            sent = False
            for queue in self._all():
                wait_s = self._send_one(queue)
                sent = sent or wait_s == 0.0
                soonest_s = min(soonest_s, wait_s)
            if not sent:
                return max(_SHORTEST_S, soonest_s)

    def _all(self) -> list[_Queue]:
        """Return the queues of devices that are owed something."""
        with self._lock:
            if not self._publisher.connected:
                self._queues.clear()
            for recipient in [key for key, queue in self._queues.items() if not self._is_busy(queue)]:
                del self._queues[recipient]
            self._unacknowledged = sum(len(queue.sent) for queue in self._queues.values())
            return list(self._queues.values())

    def _is_busy(self, queue: _Queue) -> bool:
        now_s = self._monotonic_s()
        while queue.sent and (queue.sent[0][0].wait(0.0) or now_s - queue.sent[0][1] > GIVEN_UP_AFTER_S):
            queue.sent.popleft()
        return bool(queue.waiting or queue.sent)

    def _send_one(self, queue: _Queue) -> float:
        """Send one chunk and return 0, or return after how many seconds it may be tried again."""
        now_s = self._monotonic_s()
        if not queue.waiting:
            return _LONGEST_S
        if now_s < queue.not_before_s:
            return queue.not_before_s - now_s
        if len(queue.sent) >= UNACKNOWLEDGED or self._unacknowledged >= UNACKNOWLEDGED_IN_ALL:
            return _SHORTEST_S
        with self._lock:
            key, piece = next(iter(queue.waiting.items()))
        data = self._read(piece)
        if data is not None:
            wait_s = self._buckets.take(queue.recipient, len(data), now_s=now_s)
            if wait_s > 0:
                queue.not_before_s = now_s + wait_s
                return wait_s
            self._publish(queue, piece, data)
        with self._lock:
            queue.waiting.pop(key, None)
        return 0.0

    def _read(self, piece: Piece) -> bytes | None:
        try:
            return self._vault.chunk(piece.digest)
        except (FleetServerError, OSError) as error:
            self._counts["unreadable"] += 1
            log.warning("chunk not sent", extra={"reason": str(error)})
            return None

    def _publish(self, queue: _Queue, piece: Piece, data: bytes) -> None:
        recipient = queue.recipient
        body = encode(ChunkAnswer(index=piece.index, place=piece.place, data=data))
        topic = device_topic(recipient.tenant, recipient.device, Channel.CHUNK)
        queue.sent.append((self._publisher.publish(topic, body), self._monotonic_s()))
        self._unacknowledged += 1
        self._counts["sent"] += 1
        self._counts["sent_bytes"] += len(data)
        with self._lock:
            self._published[recipient, piece.index] += len(data)


def _put(queue: _Queue, piece: Piece) -> None:
    for key in [key for key in queue.waiting if key[0] != piece.index]:
        del queue.waiting[key]
    if len(queue.waiting) < WAITING_A_DEVICE:
        queue.waiting.setdefault((piece.index, piece.place), piece)
