"""The server's half of a transfer, small: answers metadata and chunk requests from a signed repository.

It keeps count as the real server does: which chunks were asked for, and which were asked for after the
device had said that it holds them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from contracts.chunks import ChunkAnswer, ChunkRequest, places
from contracts.codec import decode, encode
from contracts.metadata import PART_BYTES, MetadataAnswer, MetadataName, MetadataRequest
from contracts.topics import Channel
from tests.fakes.repository import SignedRepository

Answers = Iterator[tuple[Channel, bytes]]


class FakeCourier:
    """Stateless but for its counters and the faults that a test sets.

    ``corrupt`` maps a place to what is sent instead; ``silent_after`` stops answering chunks after so many;
    ``refusal`` refuses them all; ``lost`` are places whose first answer never arrives;
    ``silent_for`` are chunk indexes of which nothing is sent; while it ``is_down`` nothing is answered at all.
    """

    def __init__(self, repository: SignedRepository) -> None:
        self.repository = repository
        self.sent: Counter[int] = Counter()
        self.sent_bytes: Counter[str] = Counter()
        self.verified: defaultdict[str, set[int]] = defaultdict(set)
        self.repeated_verified = 0
        self.metadata_requests: list[MetadataName] = []
        self.corrupt: dict[int, bytes] = {}
        self.lost: set[int] = set()
        self.silent_after: int | None = None
        self.silent_for: set[str] = set()
        self.is_down: Callable[[], bool] = lambda: False
        self.refusal = ""

    def answers(self, channel: Channel, data: bytes) -> Answers:
        """Yield what goes back for one message of the device."""
        if self.is_down():
            return
        if channel is Channel.META_REQUEST:
            yield from self._metadata(decode(MetadataRequest, data))
        elif channel is Channel.CHUNK_REQUEST:
            yield from self._chunks(decode(ChunkRequest, data))

    def _metadata(self, asked: MetadataRequest) -> Answers:
        self.metadata_requests.append(asked.name)
        found = self.repository.answer(asked)
        parts = (len(found) + PART_BYTES - 1) // PART_BYTES if found else 0
        for part in range(max(parts, 1)):
            content = found[part * PART_BYTES : (part + 1) * PART_BYTES] if found else b""
            answer = MetadataAnswer(name=asked.name, request=asked.request, part=part, parts=parts, data=content)
            yield Channel.META, encode(answer)

    def _chunks(self, asked: ChunkRequest) -> Answers:
        if self.refusal:
            yield Channel.CHUNK, encode(ChunkAnswer(index=asked.index, place=0, data=b"", refusal=self.refusal))
            return
        if asked.index in self.silent_for:
            return
        chunks = self.repository.chunks[asked.index]
        missing = list(places(asked.missing, asked.first))
        wanted = missing[: asked.credit]
        self.repeated_verified += len(self.verified[asked.index].intersection(wanted))
        self.verified[asked.index] |= set(range(min(asked.first, len(chunks))))
        for place in wanted:
            if self.silent_after is not None and sum(self.sent.values()) >= self.silent_after:
                return
            self.sent[place] += 1
            if place in self.lost:
                self.lost.discard(place)
                continue
            content = self.corrupt.get(place, chunks[place])
            self.sent_bytes[asked.index] += len(content)
            yield Channel.CHUNK, encode(ChunkAnswer(index=asked.index, place=place, data=content))
