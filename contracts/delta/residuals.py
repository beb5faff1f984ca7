"""Whole numbers around zero, coded bit by bit: zero or not, sign, length, the leading bits, the rest as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.delta.lanes import Bits, FieldReader, Ints
from contracts.delta.logarithms import bit_lengths
from contracts.delta.mixing import BitModel

_LEADING: Final = 2
"""How many bits after the first one are modelled; what follows is as good as random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """For each kind of bit the contexts of each element: arrays (n,), smaller than the sizes of the coder.

    ``down`` is 1 where what is expected is negative: the sign is told as away from zero or towards it.
    """

    zero: Sequence[Ints]
    sign: Sequence[Ints]
    length: Sequence[Ints]
    down: Ints


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
        size = self._sized([2 * view[at] + turned for view in views.length], np.abs(values[at]))
        result = np.zeros(count, np.int64)
        result[at] = np.where(negative == 1, -size, size)
        return result

    def _sized(self, views: Sequence[Ints], known: Ints) -> Ints:
        """Code magnitudes of at least 1; ``known`` is zero where they are to be found."""
        length = self._lengths(views, known)
        size = np.ones(len(known), np.int64)
        for step in range(_LEADING):
            at = np.flatnonzero(length > step)
            prefix = ((length[at] << _LEADING) | (1 << step) | (size[at] - (1 << step))).astype(np.int64)
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

    def _lengths(self, views: Sequence[Ints], known: Ints) -> Ints:
        """Code how many bits follow the first one of each magnitude: 0 to 2**levels - 1."""
        wanted = np.maximum(bit_lengths(known) - 1, 0)
        prefix = np.ones(len(known), np.int64)
        for level in range(self._levels - 1, -1, -1):
            seen = [view * self._levels_count + prefix for view in views]
            prefix = (prefix << 1) | self._length.code(self._bits, seen, chosen=prefix, values=(wanted >> level) & 1)
        return prefix - self._levels_count
