"""Attacks 29 and 30: deltas that would fill the memory, write too much, or read what is not the base's."""

from __future__ import annotations

import hashlib
import sys
import tracemalloc
import zlib

import pytest

from contracts.delta import apply, make
from contracts.delta.elements import Kind
from contracts.delta.expecting import Shape
from contracts.delta.file import MARK
from contracts.delta.generic import packed
from contracts.delta.lanes import BitEncoder
from contracts.delta.plan import ELEMENTS_LIMIT, NONE, PLAN_LIMIT_BYTES, Entry, write_plan
from contracts.errors import DeltaError
from contracts.ids import Digest, digest_of
from tests.contracts.delta.models import float_pair

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BASE = bytes(range(256)) * 16
SIGNED = b"what was signed" * 20
DIGEST = digest_of(SIGNED)
MEBIBYTE = 1 << 20


def refused(delta: bytes, *, base: bytes = BASE, length: int = len(SIGNED), digest: Digest = DIGEST) -> str:
    """Apply the delta, which must be refused; return why."""
    with pytest.raises(DeltaError) as caught:
        apply(base, delta, length=length, digest=digest)
    assert caught.value.code == "delta"
    return str(caught.value)


def by_tensors(*entries: Entry, plan: bytes | None = None, rest: bytes = b"") -> bytes:
    """Return a delta with that plan and that frame of the remainder."""
    plan = write_plan(entries) if plan is None else plan
    frame, coded = rest or packed(b"", BASE), BitEncoder().finish(1)
    return MARK + bytes((1, 2)) + b"".join(map(number, (len(plan), len(frame), len(coded), 1))) + plan + frame + coded


def number(value: int) -> bytes:
    return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))


def an_entry(
    *, start: int = 0, base: int = 0, count: int = 16, kind: Kind = Kind.INT8, scale: int = NONE, taps: int = 1
) -> Entry:
    shape = Shape(outputs=count, inputs=1, taps=taps, order=0, line=1)
    return Entry(kind=kind, shape=shape, start=start, base=base, scale=scale)


def squeezed(length: int, *, window_log: int) -> bytes:
    """Return a frame of zeros that asks for that window."""
    return zstd.compress(bytes(length), options={zstd.CompressionParameter.window_log: window_log})


@pytest.mark.parametrize("codec", [0, 1])
def test_attack_29_decompression_bomb(codec: int) -> None:
    bomb = MARK + bytes((1, codec)) + squeezed(16 * MEBIBYTE, window_log=10)
    tracemalloc.start()

    why = refused(bomb)

    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "does not hold" in why
    assert peak_bytes < MEBIBYTE


@pytest.mark.parametrize("codec", [0, 1])
def test_attack_29_window_of_a_gigabyte(codec: int) -> None:
    assert "too much memory" in refused(MARK + bytes((1, codec)) + squeezed(MEBIBYTE, window_log=20))


def test_attack_29_bomb_in_the_plan() -> None:
    packer = zlib.compressobj(9, wbits=-15)
    plan = packer.compress(bytes(PLAN_LIMIT_BYTES + 1)) + packer.flush()

    assert "plan is cut short, too long" in refused(by_tensors(plan=plan))


def test_attack_29_bomb_in_the_remainder() -> None:
    assert "does not hold" in refused(by_tensors(an_entry(), rest=squeezed(MEBIBYTE, window_log=10)))


def test_attack_29_output_longer_than_the_signed_length() -> None:
    longer = SIGNED + b"and more"

    why = refused(make(BASE, longer), digest=digest_of(longer))

    assert "does not hold" in why


def test_attack_29_output_shorter_than_the_signed_length() -> None:
    shorter = SIGNED[:-1]

    assert "does not hold" in refused(make(BASE, shorter), digest=digest_of(shorter))


def test_attack_29_tensor_past_the_signed_length() -> None:
    assert "ends at byte" in refused(by_tensors(an_entry(start=len(SIGNED) - 8)))


def test_attack_29_tensor_larger_than_any() -> None:
    assert "no possible shape" in refused(by_tensors(an_entry(count=ELEMENTS_LIMIT + 1)), length=64 * MEBIBYTE)


def test_attack_29_endless_steps() -> None:
    entries = (an_entry(start=place, count=1, taps=4096) for place in range(0, 8 * 4096, 4096))

    assert "steps" in refused(by_tensors(*entries), length=MEBIBYTE, base=bytes(MEBIBYTE))


def test_attack_29_length_that_no_delta_is_for() -> None:
    assert "more than" in refused(by_tensors(), length=1 << 40)


def test_attack_30_wrong_base() -> None:
    base = hashlib.shake_256(b"noise").digest(4096)
    target = base + b"and a little more"
    delta = make(base, target)
    other = base[:2000] + bytes(8) + base[2008:]

    assert "another artifact" in refused(delta, base=other, length=len(target), digest=digest_of(target))


def test_a_wrong_base_of_tensors_is_refused() -> None:
    base, target = float_pair()
    delta = make(base, target)
    other = base[:2000] + bytes(8) + base[2008:]

    assert refused(delta, base=other, length=len(target), digest=digest_of(target))


def test_attack_30_bytes_other_than_the_signed_ones() -> None:
    other = bytes(reversed(SIGNED))

    assert "another artifact" in refused(make(BASE, other))


@pytest.mark.parametrize("base", [len(BASE) - 8, len(BASE), 1 << 30])
def test_attack_30_copy_from_outside_the_base(base: int) -> None:
    assert "outside the base" in refused(by_tensors(an_entry(base=base)))


def test_attack_30_copy_from_before_the_base() -> None:
    entries = (an_entry(count=16), an_entry(start=16, base=-16))

    assert "outside the base" in refused(by_tensors(*entries))


@pytest.mark.parametrize("scale", [0, 1, 5])
def test_attack_30_reference_to_what_is_no_scale(scale: int) -> None:
    entries = (an_entry(scale=scale), an_entry(start=16, base=16))

    assert "refers to tensor" in refused(by_tensors(*entries))


def test_attack_30_copy_from_beyond_the_prefix() -> None:
    longer = hashlib.shake_256(b"noise").digest(2 * len(BASE))
    honest = packed(longer, longer)

    assert "cannot be read" in refused(MARK + bytes((1, 1)) + honest, length=len(longer), digest=digest_of(longer))
