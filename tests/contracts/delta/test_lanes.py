"""Bits with known chances become bytes and come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.delta.lanes import ONE, BitDecoder, BitEncoder, FieldReader, Ints, write_fields
from contracts.errors import DeltaError

LANES = st.sampled_from([1, 2, 8, 64])


def blocks(seed: int, sizes: list[int]) -> list[tuple[Ints, Ints]]:
    """Return chances and bits that follow them, block by block."""
    random = np.random.default_rng(seed)
    chances = [random.integers(1, ONE, size) for size in sizes]
    return [(one, (random.integers(0, ONE, len(one)) < one).astype(np.int64)) for one in chances]


def coded(given_blocks: list[tuple[Ints, Ints]], lanes: int) -> bytes:
    """Return the blocks' bytes."""
    encoder = BitEncoder()
    for chances, bits in given_blocks:
        encoder.code(chances, bits)
    return encoder.finish(lanes)


@given(seed=st.integers(0, 99), sizes=st.lists(st.integers(0, 200), max_size=6), lanes=LANES)
def test_bits_come_back_from_any_number_of_lanes(seed: int, sizes: list[int], lanes: int) -> None:
    sent = blocks(seed, sizes)
    decoder = BitDecoder(coded(sent, lanes), lanes)

    back = [decoder.code(chances, np.zeros(len(chances), np.int64)) for chances, _ in sent]

    decoder.finish()
    assert [one.tolist() for one in back] == [bits.tolist() for _, bits in sent]


def test_bits_take_about_as_many_bytes_as_their_chances_say() -> None:
    sent = blocks(3, [20_000])
    (chances, bits), *_ = sent
    least = -np.log2(np.where(bits == 1, chances, ONE - chances) / ONE).sum() / 8

    data = coded(sent, 8)

    assert least <= len(data) <= least + 8 * 5 + 8


@pytest.mark.parametrize("data", [b"", bytes(4), bytes(5), bytes(6)])
def test_a_stream_that_is_cut_short_or_starts_out_of_range_is_refused(data: bytes) -> None:
    with pytest.raises(DeltaError):
        BitDecoder(data, 1)


def test_a_stream_that_ends_too_early_is_refused() -> None:
    (chances, bits), *_ = sent = blocks(5, [400])
    decoder = BitDecoder(coded(sent, 1)[:-2], 1)

    with pytest.raises(DeltaError, match="too early"):
        decoder.code(chances, np.zeros(len(bits), np.int64))


def test_bits_that_were_not_read_are_noticed() -> None:
    decoder = BitDecoder(coded(blocks(6, [400]), 1), 1)

    with pytest.raises(DeltaError, match="do not end"):
        decoder.finish()


@given(
    fields=st.lists(st.integers(0, 32).flatmap(lambda width: st.tuples(st.just(width), st.integers(0, 2**width - 1))))
)
def test_fields_of_any_width_come_back(fields: list[tuple[int, int]]) -> None:
    widths, values = (np.array([one[place] for one in fields], np.int64) for place in (0, 1))
    reader = FieldReader(write_fields([(values, widths)]))

    back = reader.read(widths)

    reader.finish()
    assert back.tolist() == values.tolist()


def test_more_fields_than_there_are_and_fewer_are_refused() -> None:
    data = write_fields([(np.array([5, 6]), np.array([8, 8]))])

    with pytest.raises(DeltaError, match="too early"):
        FieldReader(data).read(np.array([9, 8]))
    with pytest.raises(DeltaError, match="left over"):
        FieldReader(data).finish()
