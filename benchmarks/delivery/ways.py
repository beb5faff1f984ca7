"""The ways to send a next version, each with the bytes that travel; every one of ours is applied and compared."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from contracts.delta import apply, make
from contracts.delta.generic import packed
from contracts.ids import digest_of

FULL: Final = "full file"
PATCH: Final = "zstd patch-from"
CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our delta: its bytes, and the seconds to make and to apply it."""

    length: int
    make_s: float
    apply_s: float


def rivals(base: bytes, target: bytes) -> dict[str, int]:
    """Return the bytes that each other way sends."""
    import bsdiff4  # type: ignore[import-untyped] # it has no types

    pieces = {base[start : start + CHUNK_BYTES] for start in range(0, len(base), CHUNK_BYTES)}
    chunks = [target[start : start + CHUNK_BYTES] for start in range(0, len(target), CHUNK_BYTES)]
    return {
        FULL: len(target),
        "zstd 19": len(packed(target, b"")),
        PATCH: len(packed(target, base)),
        "bsdiff4": len(bsdiff4.diff(base, target)),
        "64 KiB chunks": sum(len(chunk) for chunk in chunks if chunk not in pieces),
    }


def ours(base: bytes, target: bytes) -> Ours:
    """Return our delta's figures.

    Raises:
        SystemExit: it does not lead to the target.
    """
    start = time.perf_counter()
    delta = make(base, target)
    made = time.perf_counter()
    result = apply(base, delta, length=len(target), digest=digest_of(target))
    applied = time.perf_counter()
    if result != target:
        raise SystemExit("a delta did not lead to its target")
    return Ours(length=len(delta), make_s=made - start, apply_s=applied - made)
