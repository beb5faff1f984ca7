"""The delta file: how a target's bytes are told to who has the base.

    2 bytes   ``ed``
    1 byte    the version of the format, 1
    1 byte    the codec: 0 zstd without the base, 1 zstd with the base as its prefix, 2 by tensors
    rest      codec 0 and 1: one zstd frame. Codec 2: four numbers (unsigned LEB128): the lengths of the plan, of the
              remainder's frame and of the coded bits, and the lanes; then plan, frame, coded bits, raw bits

A delta needs no trust: what comes out is checked against the signed digest. It is bounded all the same [wire-5.13]:
never more than the signed length is written, nothing outside the base is read, and memory is that of base, target and
one entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from contracts.errors import DeltaError
from contracts.ids import Digest, digest_of

if TYPE_CHECKING:
    from contracts.delta.plan import Entry

MARK: Final = b"ed"
VERSION: Final = 1
FULL, PREFIX, TENSORS = 0, 1, 2
LENGTH_LIMIT_BYTES: Final = 64 << 20
"""Of base and of target: beyond it no delta is made, and none applied."""


def make(base: bytes, target: bytes) -> bytes:
    """Return the smallest of the deltas that lead from the base to the target; equal input gives equal bytes.

    Raises:
        DeltaError: base or target is longer than LENGTH_LIMIT_BYTES.
    """
    from contracts.delta.generic import packed

    _check_lengths(len(base), len(target))
    bodies = {FULL: packed(target, b""), PREFIX: packed(target, base)}
    by_tensors = _made_by_tensors(base, target)
    if by_tensors is not None:
        bodies[TENSORS] = by_tensors
    codec = min(bodies, key=lambda one: (len(bodies[one]), one))
    return MARK + bytes((VERSION, codec)) + bodies[codec]


def apply(base: bytes, delta: bytes, *, length: int, digest: Digest) -> bytes:
    """Return the target, ``length`` bytes with that digest.

    Raises:
        DeltaError: the bytes are no delta, or this base does not become that target by them.
    """
    from contracts.delta.generic import unpacked

    _check_lengths(len(base), length)
    if delta[:2] != MARK:
        raise DeltaError("these bytes are no delta; fetch the whole artifact")
    if len(delta) < 4 or delta[2] != VERSION:
        raise DeltaError("the delta is of a version that this agent does not know; fetch the whole artifact")
    body = delta[4:]
    if delta[3] == FULL:
        target = unpacked(body, b"", length=length)
    elif delta[3] == PREFIX:
        target = unpacked(body, base, length=length)
    elif delta[3] == TENSORS:
        target = _applied_by_tensors(base, body, length)
    else:
        raise DeltaError(f"the delta's codec {delta[3]} is not known; fetch the whole artifact")
    if digest_of(target) != digest:
        raise DeltaError("the delta leads to another artifact than the signed one; fetch the whole artifact")
    return target


def _made_by_tensors(base: bytes, target: bytes) -> bytes | None:
    from contracts.delta.coding import encode_tensors
    from contracts.delta.generic import packed
    from contracts.delta.matching import matches, planned
    from contracts.delta.plan import ENTRIES_LIMIT, PLAN_LIMIT_BYTES, steps, steps_limit, write_plan
    from contracts.delta.spans import spans_of

    matched = planned(matches(spans_of(base), spans_of(target)), base, target)
    count = len(matched.entries)
    if not 0 < count <= min(ENTRIES_LIMIT, PLAN_LIMIT_BYTES // 64) or steps(matched.entries) > steps_limit(len(target)):
        return None
    plan = write_plan(matched.entries)
    rest = b"".join(target[first:last] for first, last in _gaps(matched.entries, len(target)))
    frame = packed(rest, base)
    lanes, coded, raw = encode_tensors(matched.entries, base, target, tilts=matched.tilts, parts=matched.parts)
    sizes = (len(plan), len(frame), len(coded), lanes)
    return b"".join((*(_leb128(size) for size in sizes), plan, frame, coded, raw))


def _applied_by_tensors(base: bytes, body: bytes, length: int) -> bytes:
    from contracts.delta.coding import decode_tensors
    from contracts.delta.generic import unpacked
    from contracts.delta.plan import read_plan

    at = 0
    sizes = []
    for _ in range(4):
        size, at = _read_leb128(body, at)
        sizes.append(size)
    plan_size, frame_size, coded_size, lanes = sizes
    raw_at = at + plan_size + frame_size + coded_size
    if raw_at > len(body):
        raise DeltaError("the delta is cut short; fetch the whole artifact")
    entries = read_plan(body[at : at + plan_size], base_length=len(base), length=length)
    frame = body[at + plan_size : at + plan_size + frame_size]
    rest = unpacked(frame, base, length=length - sum(entry.length for entry in entries))
    coded = body[raw_at - coded_size : raw_at]
    tensors = decode_tensors(entries, base, lanes=lanes, coded=coded, raw=body[raw_at:])
    target = bytearray(length)
    for number, entry in enumerate(entries):
        target[entry.start : entry.start + entry.length] = tensors[number]
    at = 0
    for first, last in _gaps(entries, length):
        target[first:last] = rest[at : at + last - first]
        at += last - first
    return bytes(target)


def _gaps(entries: Sequence[Entry], length: int) -> Iterator[tuple[int, int]]:
    """Yield first and last byte of what lies before, between and after the entries."""
    end = 0
    for entry in entries:
        yield end, entry.start
        end = entry.start + entry.length
    yield end, length


def _check_lengths(*lengths: int) -> None:
    longest = max(lengths)
    if longest > LENGTH_LIMIT_BYTES or min(lengths) < 0:
        raise DeltaError(
            f"{longest} bytes are more than the {LENGTH_LIMIT_BYTES} that deltas are for; send the whole file"
        )


def _leb128(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*result, value))


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(5):
        if at + place < len(data):
            byte = data[at + place]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, at + place + 1
    raise DeltaError("the delta is cut short; fetch the whole artifact")
