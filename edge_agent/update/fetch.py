"""Pulling an artifact: the index first, then the chunks, each checked when it arrives [wire-5.3].

One request at a time names every chunk that is not yet verified and takes ``credit`` of them [wire-5.6]; the next
one goes out when those have come or after a silence. So the server reads from each request exactly
what the device holds, and needs no memory of the transfer. A chunk with wrong bytes is asked for
again, three times at most; then the fetch fails and names it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.chunks import BITMAP_LIMIT_BITS, ChunkAnswer, ChunkIndex, ChunkRequest, bitmap
from contracts.codec import decode
from contracts.errors import DecodeError
from contracts.ids import digest_of
from contracts.metadata import LIMITS_BYTES, MetadataName
from edge_agent.errors import ChunkMismatch, ChunksRefused, IndexMismatch
from edge_agent.update.pace import Pace
from edge_agent.update.partial import Partial

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.release import ReleasedArtifact
    from edge_agent.clock import Clock
    from edge_agent.disk import Disk
    from edge_agent.update.courier import Courier

WRONG_CHUNKS_LIMIT = 3
REFUSALS_LIMIT = 3

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """What fetching needs: where to put it, whom to ask, and how many chunks at once."""

    folder: Path
    disk: Disk
    courier: Courier
    clock: Clock
    credit: int

    def fetch(self, pinned: ReleasedArtifact, *, bytes_s: int, progress: Progress) -> Path:
        """Return the file that holds the whole artifact, every chunk verified.

        Args:
            pinned: what was signed.
            bytes_s: bound on bytes a second; 0 is none.
            progress: told chunks verified and chunks in all, at the start and after each one.

        Raises:
            IndexMismatch: the index is not the signed one, or does not add up to the artifact.
            ChunkMismatch: one chunk came wrong three times.
            ChunksRefused: the server will not send them.
            MetadataMissing: the server has no index.
            OSError: the disk refuses, or has no room.
            Interrupted: a newer offer, or the end of the process.
        """
        self.clear(keep=pinned)
        index = self._index(pinned)
        partial = Partial(self._home(pinned), index, self.disk)
        partial.open()
        progress(partial.done, partial.total)
        pull = _Pull(pinned, partial, self, Pace(bytes_s=bytes_s, started_s=self.clock.monotonic_s()), progress)
        pull.run()
        return partial.data

    def data(self, pinned: ReleasedArtifact) -> Path:
        """Return where the pinned artifact is put together."""
        return self._home(pinned) / "data"

    def clear(self, *, keep: ReleasedArtifact | None = None) -> None:
        """Remove what earlier fetches left, except the one named."""
        kept = self._home(keep) if keep else None
        for folder in self.folder.glob("*"):
            if folder != kept:
                self.disk.remove_tree(folder)

    def _home(self, pinned: ReleasedArtifact) -> Path:
        return self.folder / pinned.custom.index

    def _index(self, pinned: ReleasedArtifact) -> ChunkIndex:
        path = self._home(pinned) / "index.cbor"
        data = path.read_bytes() if path.exists() else b""
        if digest_of(data) != pinned.custom.index:
            data = self.courier.metadata(
                MetadataName.INDEX,
                digest=pinned.custom.index,
                limit_bytes=min(pinned.custom.index_length, LIMITS_BYTES[MetadataName.INDEX]),
            )
            index = checked_index(data, pinned)
            self.disk.write(path, data)
            return index
        return checked_index(data, pinned)


def checked_index(data: bytes, pinned: ReleasedArtifact) -> ChunkIndex:
    """Return the index, if it is the one that was signed and adds up to the artifact.

    Raises:
        IndexMismatch: it is not.
    """
    actual = digest_of(data)
    if actual != pinned.custom.index:
        raise IndexMismatch(
            f"chunk index of {pinned.path}: digest {actual[:12]} arrived, {pinned.custom.index[:12]} is signed; "
            "restore the server's database from a backup, or publish the model as a new version"
        )
    with contextlib.suppress(DecodeError):
        index = decode(ChunkIndex, data, limit_bytes=LIMITS_BYTES[MetadataName.INDEX])
        if index.artifact == pinned.digest and sum(index.lengths) == pinned.length:
            return index
    raise IndexMismatch(f"chunk index of {pinned.path} does not describe the signed artifact; sign the release again")


class _Pull:
    """One run of asking and taking; its counters are forgotten with it."""

    def __init__(
        self, pinned: ReleasedArtifact, partial: Partial, parts: Fetcher, pace: Pace, progress: Progress
    ) -> None:
        self._pinned = pinned
        self._partial = partial
        self._parts = parts
        self._pace = pace
        self._progress = progress
        self._wrong: Counter[int] = Counter()
        self._refusals = 0
        self._silences = 0

    def run(self) -> None:
        """Ask and take until nothing is missing."""
        while missing := self._partial.missing:
            asked = self._ask(missing)
            answered = self._take(asked)
            self._silences = 0 if answered else self._silences + 1

    def _ask(self, missing: list[int]) -> set[int]:
        clock = self._parts.clock
        window = missing[: self._parts.credit]
        lengths = [self._partial.length(place) for place in window]
        if (wait_s := self._pace.wait_s(lengths[0], now_s=clock.monotonic_s())) > 0:
            self._parts.courier.rest(wait_s)
        window = window[: self._pace.affordable(lengths, now_s=clock.monotonic_s())]
        self._pace.spend(sum(self._partial.length(place) for place in window), now_s=clock.monotonic_s())
        first = missing[0]
        shown = {place for place in missing if place < first + BITMAP_LIMIT_BITS}
        self._parts.courier.ask_chunks(
            ChunkRequest(index=self._pinned.custom.index, first=first, missing=bitmap(shown, first), credit=len(window))
        )
        return set(window)

    def _take(self, asked: set[int]) -> bool:
        """Return whether anything useful came before the silence."""
        answered = False
        while asked:
            answer = self._parts.courier.next_chunk(self._parts.courier.patience.after(self._silences))
            if answer is None:
                return answered
            if answer.index != self._pinned.custom.index:
                continue
            if answer.refusal:
                self._count_refusal(answer.refusal)
                return False
            asked.discard(answer.place)
            answered = self._accept(answer) or answered
        return answered

    def _accept(self, answer: ChunkAnswer) -> bool:
        place = answer.place
        if not 0 <= place < self._partial.total or self._partial.holds(place):
            return False
        if not self._partial.fits(place, answer.data):
            self._count_wrong(place, len(answer.data))
            return False
        self._partial.put(place, answer.data)
        self._progress(self._partial.done, self._partial.total)
        return True

    def _count_wrong(self, place: int, length: int) -> None:
        self._wrong[place] += 1
        if self._wrong[place] >= WRONG_CHUNKS_LIMIT:
            raise ChunkMismatch(
                f"chunk {place} of {self._partial.total} of {self._pinned.path} came {self._wrong[place]} times with "
                f"other bytes than the signed index states ({length} of {self._partial.length(place)} bytes the last "
                "time); the server's copy is damaged or forged: restore its vault from a backup, or publish the model "
                "as a new version"
            )

    def _count_refusal(self, word: str) -> None:
        self._refusals += 1
        if self._refusals >= REFUSALS_LIMIT:
            raise ChunksRefused(
                f"the server refuses the chunks of {self._pinned.path}: {word}; "
                "check that the release is still on offer"
            )
        self._parts.courier.rest(self._parts.courier.patience.after(self._refusals))
