"""A half-fetched artifact on disk: what is verified is never asked for again [wire-5.4].

    FOLDER/index.cbor    the chunk index, checked against the signed digest
    FOLDER/data          the artifact's full length, reserved before the first chunk
    FOLDER/verified      bitmap: bit i (byte i // 8, least significant first) once chunk i is in ``data``

A chunk is on disk before its bit is. After a restart every chunk whose bit is set is hashed again, so a
file that a power cut or a stranger damaged costs its own chunks and nothing else.
"""

from __future__ import annotations

import hashlib
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

from contracts.chunks import ChunkIndex, bitmap, places

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.disk import Disk


class Partial:
    """The chunks of one artifact that are here so far."""

    def __init__(self, folder: Path, index: ChunkIndex, disk: Disk) -> None:
        self.data = folder / "data"
        self._bitmap = folder / "verified"
        self._index = index
        self._disk = disk
        self._offsets = _offsets(index.lengths)
        self._verified: set[int] = set()

    def open(self) -> None:
        """Reserve the room and take up what an earlier run verified.

        Raises:
            OSError: no room for the whole artifact, or the disk refuses.
        """
        length = sum(self._index.lengths)
        self._disk.reserve(self.data, length)
        bitmap_bytes = (len(self._index.lengths) + 7) // 8
        if self._bitmap.exists():
            self._verified = self._still_good(self._bitmap.read_bytes()[:bitmap_bytes])
        self._disk.write(self._bitmap, bitmap(self._verified, 0).ljust(bitmap_bytes, b"\0"))

    @property
    def total(self) -> int:
        """How many chunks the artifact has."""
        return len(self._index.lengths)

    @property
    def done(self) -> int:
        """How many of them are verified and on disk."""
        return len(self._verified)

    @property
    def missing(self) -> list[int]:
        """The places that are not, in order."""
        return [place for place in range(self.total) if place not in self._verified]

    def length(self, place: int) -> int:
        """Return the bytes of the chunk at that place."""
        return self._index.lengths[place]

    def holds(self, place: int) -> bool:
        """Whether that chunk is verified and on disk."""
        return place in self._verified

    def fits(self, place: int, data: bytes) -> bool:
        """Whether these are the bytes that the index states for that place."""
        return len(data) == self._index.lengths[place] and hashlib.sha256(data).digest() == self._index.digests[place]

    def put(self, place: int, data: bytes) -> None:
        """Make a chunk that fits count as verified, now and after a power cut.

        Raises:
            OSError: the disk refuses; the chunk does not count.
        """
        self._disk.write_at(self.data, data, self._offsets[place])
        held = self._verified | {place}
        byte = place // 8
        bits = sum(1 << (other % 8) for other in held if other // 8 == byte)
        self._disk.write_at(self._bitmap, bytes((bits,)), byte)
        self._verified = held

    def _still_good(self, held: bytes) -> set[int]:
        claimed = [place for place in places(held, 0) if place < self.total]
        with self.data.open("rb") as file:
            return {
                place for place in claimed if self.fits(place, _read(file, self._offsets[place], self.length(place)))
            }


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _offsets(lengths: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(accumulate(lengths, initial=0))[:-1]
