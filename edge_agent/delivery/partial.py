"""A half-fetched artifact on disk: what is verified and synced is never asked for again [wire-5.4].

    FOLDER/index.cbor    the chunk index, checked against the signed digest
    FOLDER/data          the artifact's full length, reserved before the first chunk
    FOLDER/verified      bitmap: bit i (byte i // 8, least significant first) once chunk i is in ``data``

Data are synced once a mebibyte or a second of them waits, and their bits are written after that: flash wears out, and a
power cut costs a second's work. A sync runs in a thread of its own while more comes, but nothing is put as long as
anything is unsynced for a second, or four mebibytes wait behind a sync. The bits are never synced nor believed: after a
restart every place of ``data`` is hashed, so a file that a power cut or a stranger damaged costs its own chunks and
nothing else. They tell whoever looks on what a power cut would leave.
"""

from __future__ import annotations

import hashlib
from array import array
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from contracts.chunks import ChunkIndex
    from edge_agent.disk import Disk

SYNC_BYTES = 1024 * 1024
SYNC_S = 1.0
BEHIND_A_SYNC_BYTES = 4 * SYNC_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """A sync under way: what it covers, since when that waits, and how it ends."""

    held: bytes
    since_s: float
    ends: Future[None]


class Partial:
    """The chunks of one artifact that are here so far."""

    def __init__(self, folder: Path, index: ChunkIndex, disk: Disk) -> None:
        self.data = folder / "data"
        self._bitmap = folder / "verified"
        self._index = index
        self._disk = disk
        self._offsets = array("Q", accumulate(index.lengths, initial=0))
        self._held = bytearray((len(index.lengths) + 7) // 8)
        self._done = 0
        self._synced = bytearray(len(self._held))
        self._first = 0
        self._twins = _twins(index.digests)
        self._waiting_bytes = 0
        self._waiting_since_s: float | None = None
        self._round: _Round | None = None
        self._thread: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Reserve the room and take up every chunk that is in the file already.

        Raises:
            OSError: no room for the whole artifact, or the disk refuses.
        """
        began_before = self.data.exists()
        self._disk.reserve(self.data, self._offsets[-1])
        if began_before:
            for place in self._found():
                self._mark(place)
            self._complete_twins()
        self._synced[:] = self._held
        self._disk.write(self._bitmap, bytes(self._held))

    @property
    def total(self) -> int:
        """How many chunks the artifact has."""
        return len(self._index.lengths)

    @property
    def done(self) -> int:
        """How many of them are verified and written."""
        return self._done

    @property
    def first(self) -> int:
        """The first place that is not verified and synced; ``total`` where there is none."""
        while self._first < self.total and _is_set(self._synced, self._first):
            self._first += 1
        return self._first

    @property
    def missing(self) -> list[int]:
        """The places that are not here, in order."""
        return [place for place in range(self.total) if not self.holds(place)]

    def wanted(self) -> dict[bytes, int]:
        """Return the digests of what is missing, each with the first place that it belongs to."""
        return {self._index.digests[place]: place for place in reversed(self.missing)}

    def length(self, place: int) -> int:
        """Return the bytes of the chunk at that place."""
        return self._index.lengths[place]

    def digest(self, place: int) -> bytes:
        """Return the SHA-256 of the chunk at that place."""
        return self._index.digests[place]

    def holds(self, place: int) -> bool:
        """Whether that chunk is verified and written."""
        return _is_set(self._held, place)

    def fits(self, place: int, data: bytes) -> bool:
        """Whether these are the bytes that the index states for that place."""
        return len(data) == self._index.lengths[place] and hashlib.sha256(data).digest() == self._index.digests[place]

    def put(self, place: int, data: bytes, *, now_s: float) -> None:
        """Make a chunk that fits count as verified, wherever the artifact has it; for good at the next sync.

        Raises:
            OSError: the disk refuses; the chunk does not count.
        """
        self._write(self._twins.get(self._index.digests[place], (place,)), data)
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        self.sync_if_due(now_s=now_s)

    def sync_due_s(self) -> float | None:
        """Return when the data must be synced; None where none waits."""
        return None if self._waiting_since_s is None else self._waiting_since_s + SYNC_S

    def sync_if_due(self, *, now_s: float) -> None:
        """Begin to sync where a mebibyte or a second of data waits; let what is old or too much be synced first.

        Raises:
            OSError: the disk refuses.
        """
        due_s = self.sync_due_s()
        is_old = due_s is not None and now_s >= due_s
        self._end_round(waiting=is_old or self._waiting_bytes >= BEHIND_A_SYNC_BYTES)
        if self._round is None and (is_old or self._waiting_bytes >= SYNC_BYTES):
            self._begin_round(now_s)
        self._end_round(waiting=self._round is not None and now_s >= self._round.since_s + SYNC_S)

    def sync(self) -> None:
        """Make all that was put survive a power cut: the data first, then their bits.

        Raises:
            OSError: the disk refuses.
        """
        self._end_round(waiting=True)
        if self._waiting_since_s is not None:
            held = bytes(self._held)
            self._write_down(held)
            self._synced[:] = held
            self._waiting_bytes, self._waiting_since_s = 0, None

    def close(self) -> None:
        """Let a sync under way end, however it does, and its thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()

    def _write_down(self, held: bytes) -> None:
        self._disk.sync(self.data)
        self._disk.write_at(self._bitmap, held, 0)

    def _begin_round(self, now_s: float) -> None:
        self._thread = self._thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="sync")
        held, since_s = bytes(self._held), self._waiting_since_s
        self._waiting_bytes, self._waiting_since_s = 0, None
        self._round = _Round(
            held=held,
            since_s=now_s if since_s is None else since_s,
            ends=self._thread.submit(self._write_down, held),
        )

    def _end_round(self, *, waiting: bool) -> None:
        """Take what the sync under way made durable, if it is over or is waited for.

        Raises:
            OSError: the disk refused it.
        """
        ending = self._round
        if ending is None or not (waiting or ending.ends.done()):
            return
        self._round = None
        ending.ends.result()
        self._synced[:] = ending.held

    def _mark(self, place: int) -> None:
        self._held[place // 8] |= 1 << place % 8
        self._done += 1

    def _write(self, places: Iterable[int], data: bytes) -> None:
        for place in places:
            if not self.holds(place):
                self._disk.write_at(self.data, data, self._offsets[place])
                self._mark(place)
                self._waiting_bytes += len(data)

    def _complete_twins(self) -> None:
        """Write what was found at one of its places at the others: the end fell between them."""
        for places in self._twins.values():
            found = next(filter(self.holds, places), None)
            if found is not None:
                with self.data.open("rb") as file:
                    self._write(places, _read(file, self._offsets[found], self.length(found)))
        if self._waiting_bytes:
            self._disk.sync(self.data)
            self._waiting_bytes = 0

    def _found(self) -> Iterator[int]:
        with self.data.open("rb") as file:
            for place in range(self.total):
                if self.fits(place, _read(file, self._offsets[place], self.length(place))):
                    yield place


def _twins(digests: tuple[bytes, ...]) -> dict[bytes, list[int]]:
    """Return the places of each chunk that the artifact has more than once."""
    seen: dict[bytes, int] = {}
    twins: dict[bytes, list[int]] = {}
    for place, digest in enumerate(digests):
        first = seen.setdefault(digest, place)
        if first != place:
            twins.setdefault(digest, [first]).append(place)
    return twins


def _is_set(bits: bytes | bytearray, place: int) -> bool:
    return bool(bits[place // 8] >> place % 8 & 1)


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
