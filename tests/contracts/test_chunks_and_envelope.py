"""Chunks cover the data exactly once; signed bytes can be read one way only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.chunks import ChunkIndex, ChunkRequest, bitmap, cut, places
from contracts.codec import decode, encode
from contracts.envelope import ReportKind, signed_bytes
from contracts.errors import DecodeError
from contracts.ids import BootId, DeviceId, TenantId, digest_of
from contracts.release import index_digest


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_the_chunks_are_the_data_in_order(data: bytes, chunk_bytes: int) -> None:
    index = cut(data, chunk_bytes)

    starts = [sum(index.lengths[:place]) for place in range(len(index.lengths))]
    pieces = [data[start : start + length] for start, length in zip(starts, index.lengths, strict=True)]
    assert b"".join(pieces) == data
    assert [bytes.fromhex(digest_of(piece)) for piece in pieces] == list(index.digests)


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
