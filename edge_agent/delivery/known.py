"""Chunks that lie on the device already: in the slots of any model, in what an earlier fetch left behind.

    indexes/DIGEST.cbor    how the artifact of that digest, which some slot holds, is cut

They are found by digest and copied, never fetched. A copy is hashed like any chunk that comes from outside: a slot
whose file was damaged since gives nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from contracts.chunks import ChunkIndex
from contracts.codec import decode
from contracts.errors import DecodeError
from contracts.metadata import LIMITS_BYTES, MetadataName

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.ids import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that holds chunks, or did: where they would lie, and the file that says so."""

    data: Path
    index: Path


def copies(wanted: dict[bytes, int], sources: Iterable[Source]) -> Iterator[tuple[int, bytes]]:
    """Yield the place and the bytes of each wanted chunk that some source really holds; take it out of ``wanted``."""
    for source in sources:
        if not wanted:
            return
        with contextlib.suppress(OSError, DecodeError):  # what cannot be read is fetched
            yield from _copies_of_one(wanted, source)


def slot_sources(held: Iterable[tuple[Digest, Path]], indexes: Path) -> tuple[Source, ...]:
    """Return the slots' files whose cut is known."""
    known = (Source(data=path, index=indexes / f"{digest}.cbor") for digest, path in held)
    return tuple(source for source in known if source.index.exists())


def leftover_sources(folder: Path, *, but: Path) -> tuple[Source, ...]:
    """Return what fetches of other artifacts left."""
    homes = sorted(home for home in folder.glob("*") if home != but and (home / "index.cbor").exists())
    return tuple(Source(data=home / "data", index=home / "index.cbor") for home in homes)


def _copies_of_one(wanted: dict[bytes, int], source: Source) -> Iterator[tuple[int, bytes]]:
    index = decode(ChunkIndex, source.index.read_bytes(), limit_bytes=LIMITS_BYTES[MetadataName.INDEX])
    with source.data.open("rb") as file:
        for digest, length, offset in zip(index.digests, index.lengths, accumulate(index.lengths, initial=0)):  # noqa: B905 (accumulate ends with one more: the file's length)
            if digest not in wanted:
                continue
            file.seek(offset)
            data = file.read(length)
            if hashlib.sha256(data).digest() == digest:
                yield wanted.pop(digest), data
