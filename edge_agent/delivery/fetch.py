"""Pulling an artifact: the index first, then the chunks, each checked when it arrives [wire-5.3].

What lies on the device already is copied (``known``); where a delta from another version is worth it, it completes the
artifact (``delta``). The rest is asked for in requests that name up to a window of
chunks [wire-5.6], the next one when half of the window has come; what is on its way is in none of them (``window``).
The server keeps no memory of the transfer: each request says all. A chunk with wrong bytes is asked for
again, three times at most; then the fetch fails and names it. Where MQTT gives too little the chunks come over
HTTPS (``detour``), checked the same way into the same file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.chunks import ChunkIndex
from contracts.codec import decode
from contracts.errors import DecodeError
from contracts.ids import digest_of
from contracts.metadata import LIMITS_BYTES, MetadataName, MetadataRequest
from edge_agent.delivery.delta import DeltaFetch, DeltaTools, Means
from edge_agent.delivery.known import copies, leftover_sources, slot_sources
from edge_agent.delivery.partial import Partial
from edge_agent.delivery.pull import Parcel, Progress, Pull, Terms
from edge_agent.errors import AgentError, IndexMismatch

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.ids import Digest
    from contracts.release import ReleasedArtifact
    from edge_agent.clock import Clock
    from edge_agent.delivery.courier import Courier
    from edge_agent.delivery.detour import ChunkLine
    from edge_agent.disk import Disk

INDEXES = "indexes"


def _holds_nothing() -> Iterable[tuple[Digest, Path]]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """What fetching needs: where to put it, whom to ask, how many chunks at once at most.

    ``held`` tells digest and file of each artifact in the slots; ``line`` is the way round the broker, if there is one.
    Without ``deltas`` none is asked for.
    """

    folder: Path
    disk: Disk
    courier: Courier
    clock: Clock
    credit: int
    held: Callable[[], Iterable[tuple[Digest, Path]]] = _holds_nothing
    line: ChunkLine | None = None
    deltas: DeltaTools | None = None

    def fetch(
        self,
        pinned: ReleasedArtifact,
        *,
        bytes_s: int,
        progress: Progress,
        warn: Callable[[str], None] | None = None,
        forgot: Callable[[AgentError], None] | None = None,
    ) -> Path:
        """Return the file that holds the whole artifact, every chunk verified.

        Args:
            pinned: what was signed.
            bytes_s: bound on bytes a second; 0 is none.
            progress: told chunks verified and chunks in all, at the start and after each one; while a delta is fetched,
                its chunks stand for the ones that it makes up for.
            warn: told in a sentence when the broker gives too little and the other way is taken.
            forgot: told why a delta was of no use.

        Raises:
            IndexMismatch: the index is not the signed one, or does not add up to the artifact.
            ChunkMismatch: one chunk came wrong three times.
            ChunksRefused: the server will not send them.
            MetadataMissing: the server has no index.
            OSError: the disk refuses, or has no room.
            Interrupted: a newer offer, or the end of the process.
        """
        index = self._index(pinned)
        partial = self._opened(pinned, index)
        self.clear(keep=pinned)
        progress(partial.done, partial.total)
        terms = Terms(bytes_s=bytes_s, credit=self.credit, progress=progress, warn=warn or (lambda _: None))
        self._take_shortcut(pinned, partial, terms, forgot or (lambda _: None))
        parcel = Parcel(index=pinned.custom.index, name=pinned.path)
        Pull(parcel, partial, courier=self.courier, clock=self.clock, line=self.line, terms=terms).run()
        return partial.data

    def data(self, pinned: ReleasedArtifact) -> Path:
        """Return where the pinned artifact is put together."""
        return self._home(pinned) / "data"

    def clear(self, *, keep: ReleasedArtifact | None = None) -> None:
        """Remove what earlier fetches left, except the one named; how the slots' artifacts are cut is kept."""
        kept = self._home(keep) if keep else None
        for folder in self.folder.glob("*"):
            if folder != kept:
                self.disk.remove_tree(folder)
        cut = {digest for digest, _ in self.held()} | ({keep.digest} if keep else set())
        for path in self._indexes.glob("*.cbor"):
            if path.stem not in cut:
                path.unlink(missing_ok=True)

    def _take_shortcut(
        self, pinned: ReleasedArtifact, partial: Partial, terms: Terms, forgot: Callable[[AgentError], None]
    ) -> None:
        """Complete the artifact by a delta, where one is to be had and pays."""
        if self.deltas is None:
            return
        means = Means(
            disk=self.disk,
            courier=self.courier,
            clock=self.clock,
            line=self.line,
            tools=self.deltas,
            terms=terms,
            forgot=forgot,
        )
        DeltaFetch(pinned, partial, home=self._home(pinned), means=means).run()

    @property
    def _indexes(self) -> Path:
        return self.folder.with_name(INDEXES)

    def _home(self, pinned: ReleasedArtifact) -> Path:
        return self.folder / pinned.custom.index

    def _opened(self, pinned: ReleasedArtifact, index: ChunkIndex) -> Partial:
        """Return the partial file with everything in it that the device has already."""
        partial, home = Partial(self._home(pinned), index, self.disk), self._home(pinned)
        try:
            partial.open()
        except OSError:  # what other fetches left takes the room
            self.clear(keep=pinned)
            partial.open()
        sources = (*slot_sources(self.held(), self._indexes), *leftover_sources(self.folder, but=home))
        for place, data in copies(partial.wanted(), sources):
            partial.put(place, data, now_s=self.clock.monotonic_s())
        partial.sync()
        return partial

    def _index(self, pinned: ReleasedArtifact) -> ChunkIndex:
        path = self._home(pinned) / "index.cbor"
        data = path.read_bytes() if path.exists() else b""
        fresh = digest_of(data) != pinned.custom.index
        if fresh:
            data = self.courier.metadata(
                MetadataRequest(name=MetadataName.INDEX, request=0, digest=pinned.custom.index),
                limit_bytes=min(pinned.custom.index_length, LIMITS_BYTES[MetadataName.INDEX]),
            )
        index = checked_index(data, pinned)
        if fresh:
            self.disk.write(path, data)
        cut = self._indexes / f"{pinned.digest}.cbor"
        if not cut.exists():
            self.disk.write(cut, data)
        return index


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
