"""How an artifact's bytes travel: cut into chunks, each with its digest, pulled by the device.

The device asks for a window of missing chunks (a bitmap from ``first`` on) and says how many it
will take; the server answers with one message a chunk and keeps no state. Every chunk is checked
on arrival against the index, whose own digest is signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.ids import Digest, digest_of

DEFAULT_CHUNK_BYTES = 64 * 1024
MAX_CHUNK_BYTES = 120 * 1024
MAX_CREDIT = 256
BITMAP_LIMIT_BITS = 65_536
"""A request shows this many places at most; what lies past them is not known."""
NOT_ASSIGNED = "not_assigned"
"""The refusal of chunks that the device was not offered and does not run [wire-5.5]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkIndex:
    """The list of an artifact's chunks, in order: SHA-256 (32 raw bytes) and length of each."""

    artifact: Digest
    digests: tuple[bytes, ...]
    lengths: tuple[int, ...]
    schema: int = 1

    def __post_init__(self) -> None:
        """Refuse lists of different length and sizes that no message can carry."""
        if len(self.digests) != len(self.lengths):
            raise ValueError("a chunk index needs one length for each digest")
        if any(not 0 < length <= MAX_CHUNK_BYTES for length in self.lengths):
            raise ValueError(f"a chunk has 1 to {MAX_CHUNK_BYTES} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRequest:
    """Device to server: send me up to ``credit`` of the chunks whose bit is set.

    ``index`` is the digest of the chunk index. Bit i of ``missing`` (byte i // 8, least significant
    bit first) stands for chunk ``first`` + i. The bitmap is the whole truth: every chunk before
    ``first``, and every chunk whose bit is clear or past the bitmap's end, is verified and on disk; only
    what lies BITMAP_LIMIT_BITS past ``first`` is not told.
    """

    index: Digest
    first: int
    missing: bytes
    credit: int
    schema: int = 1

    def __post_init__(self) -> None:
        """Refuse what no device would ask for."""
        if self.first < 0 or not 0 < self.credit <= MAX_CREDIT or len(self.missing) * 8 > BITMAP_LIMIT_BITS:
            raise ValueError(
                f"a chunk request starts at 0 or later, takes 1 to {MAX_CREDIT} chunks, "
                f"and shows at most {BITMAP_LIMIT_BITS} bits"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkAnswer:
    """Server to device: one chunk of the artifact whose index has that digest, or why there is none.

    ``refusal`` is a stable word (NOT_ASSIGNED); then ``data`` is empty.
    """

    index: Digest
    place: int
    data: bytes
    refusal: str = ""
    schema: int = 1


def cut(data: bytes, chunk_bytes: int = DEFAULT_CHUNK_BYTES) -> ChunkIndex:
    """Return the index of the data cut every ``chunk_bytes`` bytes."""
    chunks = [data[start : start + chunk_bytes] for start in range(0, len(data), chunk_bytes)]
    return ChunkIndex(
        artifact=digest_of(data),
        digests=tuple(bytes.fromhex(digest_of(chunk)) for chunk in chunks),
        lengths=tuple(len(chunk) for chunk in chunks),
    )


def bitmap(places: set[int], first: int) -> bytes:
    """Return the bitmap whose bit i is set where place ``first`` + i is in the set."""
    if not places:
        return b""
    bits = 0
    for place in places:
        bits |= 1 << (place - first)
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def places(missing: bytes, first: int) -> Iterator[int]:
    """Yield the places whose bit is set, in order."""
    bits = int.from_bytes(missing, "little")
    while bits:
        low = bits & -bits
        yield first + low.bit_length() - 1
        bits ^= low
