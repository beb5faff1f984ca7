"""Whole numbers around zero, coded bit by bit: zero or not, sign, length, the leading bits, the rest as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.delta.elements import bit_lengths
from contracts.delta.lanes import Bits, FieldReader, Ints
from contracts.delta.mixing import BitModel

_LEADING: Final = 2
"""How many bits after the first one are modelled; what follows is as good as random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """For each kind of bit the contexts of each element: arrays (n,), smaller than the sizes of the coder.

    ``down`` is 1 where what is expected is negative: the sign is told as away from zero or towards it. Lengths of wide
    residuals are told as how far they are from ``centre``, so that all magnitudes share what was learned.
    """

    zero: Sequence[Ints]
    sign: Sequence[Ints]
    length: Sequence[Ints]
    down: Ints
    centre: Ints

    def of(self, at: Ints) -> Views:
        """Return those of some of the elements."""
        return Views(
            zero=[one[at] for one in self.zero],
            sign=[one[at] for one in self.sign],
            length=[one[at] for one in self.length],
            down=self.down[at],
            centre=self.centre[at],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many contexts each view has, kind by kind."""

    zero: Sequence[int]
    sign: Sequence[int]
    length: Sequence[int]


class ResidualCoder:
    """Codes residuals of at most 2**levels bits; one for encoding or one for decoding."""

    def __init__(self, bits: Bits, sizes: Sizes, *, levels: int, raw: FieldReader | list[tuple[Ints, Ints]]) -> None:
        """Know nothing; ``raw`` gives the low bits (decoding) or takes them with their widths (encoding)."""
        self._bits = bits
        self._levels = levels
        self._raw = raw
        lengths = 1 << levels
        self._zero = BitModel(sizes.zero, sets=1)
        self._sign = BitModel([2 * size for size in sizes.sign], sets=1)
        self._length = BitModel([2 * size * lengths for size in sizes.length], sets=lengths)
        leading = (lengths + 1) << _LEADING
        self._leading = BitModel([leading, *(2 * size * leading for size in sizes.length[:2])], sets=leading)

    def code(self, views: Views, known: Ints | None, *, count: int) -> Ints:
        """Return the residuals of one block: those known (encoding), or what the bits say."""
        values = np.zeros(count, np.int64) if known is None else known
        some = self._zero.code(self._bits, views.zero, chosen=np.zeros(count, np.int64), values=(values != 0) * 1)
        at = np.flatnonzero(some)
        if not len(at):
            return np.zeros(count, np.int64)
        none = np.zeros(len(at), np.int64)
        down = views.down[at]
        turned = self._sign.code(
            self._bits, [2 * view[at] + down for view in views.sign], chosen=none, values=(values[at] < 0) ^ down
        )
        negative = turned ^ down
        size = self._sized([2 * view[at] + turned for view in views.length], np.abs(values[at]), views.centre[at])
        result = np.zeros(count, np.int64)
        result[at] = np.where(negative == 1, -size, size)
        return result

    def _sized(self, views: Sequence[Ints], known: Ints, centre: Ints) -> Ints:
        """Code magnitudes of at least 1; ``known`` is zero where they are to be found."""
        length = self._lengths(views, known, centre)
        size = np.ones(len(known), np.int64)
        offset = centre - self._levels_count // 2 * (self._levels > 4)
        for step in range(_LEADING):
            at = np.flatnonzero(length > step)
            told = (length[at] - offset[at]) % self._levels_count
            prefix = ((told << _LEADING) | (1 << step) | (size[at] - (1 << step))).astype(np.int64)
            leading = (self._levels_count + 1) << _LEADING
            seen = [prefix, *(view[at] * leading + prefix for view in views[:2])]
            wanted = (known[at] >> np.maximum(length[at] - 1 - step, 0)) & 1
            bit = self._leading.code(self._bits, seen, chosen=prefix, values=wanted)
            size[at] = (size[at] << 1) | bit
        low = np.maximum(length - _LEADING, 0)
        if isinstance(self._raw, FieldReader):
            rest = self._raw.read(low)
        else:
            rest = known & ((1 << low) - 1)
            self._raw.append((rest, low))
        return (size << low) | rest

    @property
    def _levels_count(self) -> int:
        return 1 << self._levels

    def _lengths(self, views: Sequence[Ints], known: Ints, centre: Ints) -> Ints:
        """Code how many bits follow the first one of each magnitude: 0 to 2**levels - 1."""
        offset = centre - self._levels_count // 2 * (self._levels > 4)
        wanted = (np.maximum(bit_lengths(known) - 1, 0) - offset) % self._levels_count
        prefix = np.ones(len(known), np.int64)
        for level in range(self._levels - 1, -1, -1):
            seen = [view * self._levels_count + prefix for view in views]
            prefix = (prefix << 1) | self._length.code(self._bits, seen, chosen=prefix, values=(wanted >> level) & 1)
        return (prefix - self._levels_count + offset) % self._levels_count


_EXPONENTS: Final = 64
_MANTISSA: Final = 3


class CloseCoder:
    """Codes floats that are expected about as close to zero as they move: by sign, exponent, leading bits, the rest.

    Patterns of floats grow by millions between a small number and its negative: their difference says nothing.
    """

    def __init__(self, bits: Bits, sizes: Sequence[int], *, raw: FieldReader | list[tuple[Ints, Ints]]) -> None:
        """Know nothing; ``raw`` gives the low bits (decoding) or takes them with their widths (encoding)."""
        self._bits = bits
        self._raw = raw
        self._sign = BitModel([1, *sizes], sets=1)
        self._exponent = BitModel([2 * size * _EXPONENTS for size in (1, *sizes)], sets=2 * _EXPONENTS)
        leading = _EXPONENTS << _MANTISSA
        self._leading = BitModel([2 * size * leading for size in (1, *sizes)], sets=leading)

    def code(self, views: Sequence[Ints], known: Ints | None, *, down: Ints, centre: Ints, mantissa: int) -> Ints:
        """Return the floats' patterns as ordered integers.

        Args:
            views: the contexts of each float.
            known: the patterns when encoding.
            down: 1 where a negative number is expected.
            centre: around what the exponents lie.
            mantissa: bits of the mantissa.
        """
        count = len(down)
        patterns = np.zeros(count, np.int64) if known is None else known
        views = [np.zeros(count, np.int64), *views]
        none = np.zeros(count, np.int64)
        turned = self._sign.code(self._bits, views, chosen=none, values=(patterns < 0) ^ down)
        size = np.where(patterns < 0, -1 - patterns, patterns)
        views = [2 * view + turned for view in views]
        floor = centre - _EXPONENTS // 2
        told = self._tree(views, np.clip((size >> mantissa) - floor, 0, _EXPONENTS - 1))
        lead = np.ones(count, np.int64)
        width = 1 << _MANTISSA
        for step in range(_MANTISSA):
            prefix = told * width + lead
            wanted = (size >> (mantissa - 1 - step)) & 1
            seen = [view * (_EXPONENTS * width) + prefix for view in views]
            lead = (lead << 1) | self._leading.code(self._bits, seen, chosen=prefix, values=wanted)
        low = np.where((told == 0) | (told == _EXPONENTS - 1), mantissa + 8, mantissa) - _MANTISSA
        rest = self._rest(size, low, mantissa)
        high = np.where(low > mantissa, rest >> (mantissa - _MANTISSA), told + floor)
        digits = (lead - width << (mantissa - _MANTISSA)) | (rest & ((1 << (mantissa - _MANTISSA)) - 1))
        found = (high << mantissa) | digits
        return np.where(turned ^ down == 1, -1 - found, found)

    def _rest(self, size: Ints, low: Ints, mantissa: int) -> Ints:
        if isinstance(self._raw, FieldReader):
            return self._raw.read(low)
        kept = mantissa - _MANTISSA
        rest = (size & ((1 << kept) - 1)) | np.where(low > mantissa, size >> mantissa << kept, 0)
        self._raw.append((rest, low))
        return rest

    def _tree(self, views: Sequence[Ints], wanted: Ints) -> Ints:
        prefix = np.ones(len(wanted), np.int64)
        for level in range(_EXPONENTS.bit_length() - 2, -1, -1):
            seen = [view * _EXPONENTS + prefix for view in views]
            prefix = (prefix << 1) | self._exponent.code(self._bits, seen, chosen=prefix, values=(wanted >> level) & 1)
        return prefix - _EXPONENTS
