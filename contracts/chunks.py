"""How an artifact's bytes travel: cut into chunks, each with its digest, pulled by the device.

Where to cut is decided by the content (FastCDC's way: a rolling gear hash over the last 32 bytes, stricter before
the usual length than after it), so that bytes put in or taken out move the cuts beside them and no others: what a
device holds of an older release it need not fetch again. The cuts of given bytes are the same for ever [wire-5.11].

The device asks for missing chunks (a bitmap from ``first`` on) and says how many it
will take; the server answers with one message a chunk and keeps no state. Every chunk is checked
on arrival against the index, whose own digest is signed.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from contracts.ids import Digest, digest_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_CHUNK_BYTES = 64 * 1024
MAX_CHUNK_BYTES = 120 * 1024
MAX_CREDIT = 256
BITMAP_LIMIT_BITS = 65_536
"""A request shows this many places at most; what lies past them is not known."""
NOT_ASSIGNED = "not_assigned"
"""The refusal of chunks that the device was not offered and does not run [wire-5.5]."""

_GEAR_WORD = b"edgeship gear "
_WINDOW_BYTES = 32
_HASHES = 2**32
_BLOCK_BYTES = 256 * 1024
"""How much is hashed at once: fits a processor's cache; has no effect on the cuts."""


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

    ``index`` is the digest of the chunk index. Every chunk before ``first`` is verified and on disk for good, so no
    honest device asks for one again. Bit i of ``missing`` (byte i // 8, least significant bit first) stands for chunk
    ``first`` + i: set where the chunk is missing and not on its way already. At most BITMAP_LIMIT_BITS are shown.
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
    """Return the index of the data, cut by content into chunks of ``chunk_bytes`` bytes on average.

    A chunk has a quarter of that at least (but for the last one) and 15/8 of it at most, never over MAX_CHUNK_BYTES:
    16, 64 and 120 KiB by default.
    """
    return index_of(data, [end - start for start, end in pairwise((0, *_cuts(data, chunk_bytes)))])


def index_of(data: bytes, lengths: Sequence[int]) -> ChunkIndex:
    """Return the index of the data cut into chunks of those lengths."""
    return ChunkIndex(
        artifact=digest_of(data),
        digests=tuple(hashlib.sha256(piece).digest() for piece in pieces(data, lengths)),
        lengths=tuple(lengths),
    )


def pieces(data: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    """Yield the data's chunks of those lengths, in order.

    Raises:
        ValueError: the lengths do not add up to the data.
    """
    if sum(lengths) != len(data):
        raise ValueError(f"chunks of {sum(lengths)} bytes together do not make {len(data)} bytes of data")
    for start, end in pairwise(accumulate(lengths, initial=0)):
        yield data[start:end]


def _cuts(data: bytes, average: int) -> Iterator[int]:
    """Yield where each chunk ends: at the first place whose hash is low enough, or at the most.

    Before ``usual`` bytes a cut needs a hash four times rarer than one in ``average``, after that one four times as
    frequent: lengths stay close to the average, whatever the content.
    """
    least, usual = max(1, average // 4), average - average // 8
    most = max(1, min(MAX_CHUNK_BYTES, average * 15 // 8))
    ends, rare = _low_places(data, loose=min(_HASHES, _HASHES * 4 // average), strict=_HASHES // (4 * average))
    start = 0
    while len(data) - start > least:
        end = _first_in(rare, start + least, min(start + usual, start + most))
        if end is None:
            end = _first_in(ends, start + min(usual, most), start + most)
        start = min(len(data), start + most) if end is None else end
        yield start
    if start < len(data):
        yield len(data)


def _first_in(ends: Sequence[int], low: int, high: int) -> int | None:
    """Return the first of the sorted ends in low to high - 1."""
    at = bisect_left(ends, low)
    return ends[at] if at < len(ends) and ends[at] < high else None


def _low_places(data: bytes, *, loose: int, strict: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return after which bytes the hash is below ``loose``, and after which below ``strict``, in order."""
    import numpy as np

    loosely: list[int] = []
    strictly: list[int] = []
    for start in range(0, len(data), _BLOCK_BYTES):
        before = max(0, start - _WINDOW_BYTES + 1)
        hashes = _gear_hashes(np.frombuffer(data, np.uint8)[before : start + _BLOCK_BYTES])[start - before :]
        low = np.flatnonzero(hashes <= np.uint32(loose - 1))
        loosely += (low + (start + 1)).tolist()
        strictly += (low[hashes[low] < np.uint32(strict)] + (start + 1)).tolist()
    return loosely, strictly


def _gear_hashes(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return at each place the sum of the gears of its last 32 bytes, each shifted by its distance, modulo 2^32."""
    import numpy as np

    hashes = _gears()[data]
    shifted = np.empty_like(hashes)
    span = 1
    while span < _WINDOW_BYTES:  # sums of 1, 2, 4, 8 and 16 bytes, each of two of the ones before
        np.left_shift(hashes, np.uint32(span), out=shifted)
        np.add(hashes[span:], shifted[:-span], out=hashes[span:])
        span *= 2
    return hashes


@cache
def _gears() -> NDArray[np.uint32]:
    """Return a random number for each byte value; part of the format: another table, other cuts."""
    import numpy as np

    words = [hashlib.sha256(_GEAR_WORD + bytes([value])).digest()[:4] for value in range(256)]
    return np.frombuffer(b"".join(words), "<u4").astype(np.uint32)


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
