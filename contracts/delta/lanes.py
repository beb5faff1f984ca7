"""Entropy coding of bits with known probabilities: range asymmetric numeral systems over interleaved lanes.

Bit i of a block belongs to lane i mod N: numpy codes N bits at once. A lane's state lies in [2**24, 2**40); a state
that gets too large (encoding) or too small (decoding) gives or takes one 16-bit word of the one shared stream.
Probabilities are of bit 1, in 1/65536, at least 1 and at most 65535. All lanes end where they began: what does not is
refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DeltaError

Ints = NDArray[np.int64]

ONE: Final = 1 << 16
MAX_LANES: Final = 256
_LOW: Final = 1 << 24
_STATE_BYTES: Final = 5


class BitEncoder:
    """Takes blocks of bits with their probabilities; ``finish`` gives the bytes."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._bits: list[NDArray[np.uint8]] = []
        self._chances: list[NDArray[np.uint16]] = []

    @property
    def count(self) -> int:
        """How many bits were taken."""
        return sum(len(block) for block in self._bits)

    def code(self, chances: Ints, bits: Ints) -> Ints:
        """Take the bits and return them."""
        self._bits.append(bits.astype(np.uint8))
        self._chances.append(chances.astype(np.uint16))
        return bits

    def finish(self, lanes: int) -> bytes:
        """Return states and words; blocks are walked backwards, as decoding walks forwards."""
        state = np.full(lanes, _LOW, np.int64)
        words: list[NDArray[np.uint16]] = []
        for bits, shares in zip(reversed(self._bits), reversed(self._chances), strict=True):
            chances = shares.astype(np.int64)
            width = np.where(bits == 1, chances, ONE - chances)
            start = np.where(bits == 1, 0, chances)
            for first in range((len(bits) - 1) // lanes * lanes, -1, -lanes):
                part, low = width[first : first + lanes], start[first : first + lanes]
                x = state[: len(part)]
                over = x >= (part << 24)
                if over.any():
                    words.append((x[over] & 0xFFFF).astype("<u2"))
                    x = np.where(over, x >> 16, x)
                state[: len(part)] = (x // part << 16) + x % part + low
        states = b"".join(int(x).to_bytes(_STATE_BYTES, "little") for x in state)
        return states + b"".join(block.tobytes() for block in reversed(words))


class BitDecoder:
    """Gives back the blocks of bits, asked for with the same probabilities."""

    def __init__(self, data: bytes, lanes: int) -> None:
        """Read the states.

        Raises:
            DeltaError: there are too many lanes, or the stream is cut short.
        """
        head = lanes * _STATE_BYTES
        if not 1 <= lanes <= MAX_LANES or len(data) < head or (len(data) - head) % 2:
            raise DeltaError("the coded bits are cut short")
        states = [int.from_bytes(data[at : at + _STATE_BYTES], "little") for at in range(0, head, _STATE_BYTES)]
        self._state = np.array(states, np.int64)
        if (self._state < _LOW).any():
            raise DeltaError("a lane of the coded bits starts below its range")
        self._words = np.frombuffer(data, "<u2", offset=head).astype(np.int64)
        self._at = 0
        self._lanes = lanes

    def code(self, chances: Ints, bits: Ints) -> Ints:
        """Fill ``bits``, as long as ``chances``, and return them.

        Raises:
            DeltaError: the stream ends too early.
        """
        for first in range(0, len(chances), self._lanes):
            part = chances[first : first + self._lanes]
            x = self._state[: len(part)]
            low = x & 0xFFFF
            ones = low < part
            bits[first : first + len(part)] = ones
            x = np.where(ones, part, ONE - part) * (x >> 16) + low - np.where(ones, 0, part)
            under = np.flatnonzero(x < _LOW)
            if len(under):
                words = self._words[self._at : self._at + len(under)]
                if len(words) != len(under):
                    raise DeltaError("the coded bits end too early")
                x[under] = (x[under] << 16) | words
                self._at += len(under)
            self._state[: len(part)] = x
        return bits

    def finish(self) -> None:
        """Check that all was read and all lanes ended where encoding began.

        Raises:
            DeltaError: they did not: these are not the bits that were coded.
        """
        if self._at != len(self._words) or (self._state != _LOW).any():
            raise DeltaError("the coded bits do not end where they began")


Bits = BitEncoder | BitDecoder


def write_fields(blocks: Sequence[tuple[Ints, Ints]]) -> bytes:
    """Return the values of all blocks, each in its own number of bits (the second array), highest bit first."""
    return np.packbits(np.concatenate([np.zeros(0, np.uint8), *(_bits(*block) for block in blocks)])).tobytes()


def _bits(values: Ints, widths: Ints) -> NDArray[np.uint8]:
    total = int(widths.sum())
    owner = np.repeat(np.arange(len(values)), widths)
    place = np.arange(total) - np.repeat(np.cumsum(widths) - widths, widths)
    return ((values[owner] >> (widths[owner] - 1 - place)) & 1).astype(np.uint8)


class FieldReader:
    """Reads values of given widths from the bytes of ``write_fields``, block by block."""

    def __init__(self, data: bytes) -> None:
        """Start at the first bit."""
        self._bytes = np.frombuffer(data + bytes(8), np.uint8).astype(np.int64)
        self._end = 8 * len(data)
        self._at = 0

    def read(self, widths: Ints) -> Ints:
        """Return the next values; widths are 0 to 32.

        Raises:
            DeltaError: there are not so many bits.
        """
        ends = self._at + np.cumsum(widths)
        if not len(widths):
            return widths
        if int(ends[-1]) > self._end:
            raise DeltaError("the raw bits end too early")
        starts = ends - widths
        self._at = int(ends[-1])
        first = starts >> 3
        window = np.zeros(len(widths), np.int64)
        for step in range(5):
            window = (window << 8) | self._bytes[first + step]
        return (window >> (40 - (starts & 7) - widths)) & ((1 << widths) - 1)

    def finish(self) -> None:
        """Check that no byte is left.

        Raises:
            DeltaError: there is one.
        """
        if self._end - self._at >= 8:
            raise DeltaError("raw bits are left over")
