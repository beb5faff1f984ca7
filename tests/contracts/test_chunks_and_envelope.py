"""Chunks cover the data exactly once; signed bytes can be read one way only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.chunks import MAX_CHUNK_BYTES, ChunkIndex, ChunkRequest, bitmap, cut, index_of, pieces, places
from contracts.codec import decode, encode
from contracts.envelope import ReportKind, signed_bytes
from contracts.errors import DecodeError
from contracts.ids import BootId, DeviceId, TenantId, digest_of
from contracts.release import index_digest

NOISE = hashlib.shake_256(b"noise").digest(1_000_000)
GOLDEN_LENGTHS = (
    61469,
    23096,
    64188,
    76681,
    122880,
    72877,
    49397,
    20280,
    99304,
    98856,
    59783,
    61049,
    21637,
    79035,
    74553,
    14915,
)
GOLDEN_DIGEST = "2f2c3fa295d8b7a1715ccdd779de55b31e8f1dac0843e0a0a17334b69113913e"
GOLDEN_SHORT = (72, 100, 57, 71)


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_the_chunks_are_the_data_in_order(data: bytes, chunk_bytes: int) -> None:
    index = cut(data, chunk_bytes)

    parts = list(pieces(data, index.lengths))
    assert b"".join(parts) == data
    assert [bytes.fromhex(digest_of(piece)) for piece in parts] == list(index.digests)


@pytest.mark.parametrize("average", [64, 2048, 65_536, 120 * 1024])
def test_no_chunk_is_shorter_than_a_quarter_or_longer_than_a_message_carries(average: int) -> None:
    index = cut(NOISE, average)

    assert min(index.lengths[:-1]) >= average // 4
    assert max(index.lengths) <= min(MAX_CHUNK_BYTES, average * 15 // 8)
    assert 0.7 * average < len(NOISE) / len(index.lengths) < 1.3 * average


def test_the_cuts_of_given_bytes_are_the_same_for_ever() -> None:
    index = cut(NOISE)

    assert index.lengths == GOLDEN_LENGTHS
    assert digest_of(encode(index)) == GOLDEN_DIGEST
    assert cut(bytes(300_000)).lengths == (122_880, 122_880, 54_240)
    assert cut(NOISE[:300], 64).lengths == GOLDEN_SHORT


def test_the_cuts_are_where_a_plain_reading_of_the_rule_puts_them() -> None:
    data = NOISE[:400_000]

    assert cut(data, 4096).lengths == tuple(_plainly_cut(data, 4096))


@pytest.mark.parametrize("at", [0, 1, 333_333, 999_999])
def test_bytes_put_in_move_only_the_cuts_beside_them(at: int) -> None:
    held = set(cut(NOISE, 4096).digests)

    changed = cut(NOISE[:at] + b"thirteen byte" + NOISE[at:], 4096)

    assert sum(digest not in held for digest in changed.digests) <= 3


def test_an_index_is_made_again_from_its_lengths() -> None:
    assert index_of(NOISE, cut(NOISE, 999).lengths) == cut(NOISE, 999)


def test_lengths_that_are_not_the_datas_make_no_index() -> None:
    with pytest.raises(ValueError, match="chunks of 7 bytes together do not make 8 bytes"):
        index_of(b"12345678", [3, 4])


def _plainly_cut(data: bytes, average: int) -> Iterator[int]:
    """Yield the chunks' lengths byte by byte, as the rule says."""
    gears = [
        int.from_bytes(hashlib.sha256(b"edgeship gear " + bytes([value])).digest()[:4], "little")
        for value in range(256)
    ]
    hashed, start = 0, 0
    for end, byte in enumerate(data, 1):
        hashed = (hashed * 2 + gears[byte]) % 2**32
        length = end - start
        rare = hashed < 2**32 // (4 * average)
        usual = length >= average - average // 8 and hashed < 2**32 * 4 // average
        if (length >= average // 4 and rare) or usual or length == average * 15 // 8:
            yield length
            start = end
    if start < len(data):
        yield len(data) - start


@given(st.sets(st.integers(0, 500)), st.integers(0, 40))
def test_a_bitmap_gives_back_its_places(offsets: set[int], first: int) -> None:
    wanted = {first + offset for offset in offsets}

    assert list(places(bitmap(wanted, first), first)) == sorted(wanted)


def test_the_signed_index_digest_is_that_of_its_encoding() -> None:
    index = cut(b"some bytes", 3)

    digest, length = index_digest(index)

    assert (digest, length) == (digest_of(encode(index)), len(encode(index)))


def test_an_index_with_a_chunk_no_message_can_carry_is_refused() -> None:
    good = encode(ChunkIndex(artifact=digest_of(b""), digests=(b"\0" * 32,), lengths=(7,)))

    bad = good.replace(b"lengths\x81\x07", b"lengths\x81\x1a\x7f\xff\xff\xff")

    with pytest.raises(DecodeError, match="a chunk has 1 to"):
        decode(ChunkIndex, bad)


@pytest.mark.parametrize(("first", "credit"), [(-1, 1), (0, 0), (0, 257), (0, -5)])
def test_a_chunk_request_that_no_device_would_send_is_refused(first: int, credit: int) -> None:
    with pytest.raises(ValueError, match="chunk request"):
        ChunkRequest(index=digest_of(b""), first=first, missing=b"", credit=credit)


_parts = st.tuples(
    st.sampled_from(["a", "ab", "b"]),
    st.sampled_from(["c", "bc", "cd"]),
    st.sampled_from(["x", "x1"]),
    st.integers(0, 120),
    st.sampled_from(ReportKind),
    st.binary(max_size=6),
)


@given(_parts, _parts)
def test_two_different_reports_never_share_their_signed_bytes(
    left: tuple[str, str, str, int, ReportKind, bytes], right: tuple[str, str, str, int, ReportKind, bytes]
) -> None:
    def to_sign(parts: tuple[str, str, str, int, ReportKind, bytes]) -> bytes:
        tenant, device, boot, sequence, kind, body = parts
        return signed_bytes(
            tenant=TenantId(tenant),
            device=DeviceId(device),
            boot=BootId(boot),
            sequence=sequence,
            kind=kind,
            body=body,
        )

    assert (to_sign(left) == to_sign(right)) == (left == right)
