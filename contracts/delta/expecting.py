"""What elements would be if they moved as the sender says: with their scale, their channel, and earlier taps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.delta.elements import MANTISSA_BITS, Kind, exponents, is_float
from contracts.delta.lanes import Ints

RATIO_BITS: Final = 24
TILT_BITS: Final = {Kind.INT8: 11, Kind.UINT8: 11, Kind.INT32: 11, Kind.FP32: 14, Kind.FP16: 11}
"""A channel's tilt is in 1 / 2**bits of the value."""
SLOPE_BITS: Final = 6
ORDERS: Final = ("OIT", "OTI", "TIO", "ITO")
_FINE: Final = 16
"""Bits below the last one of the largest float."""
_FAR: Final = 1 << 44
_FRACTION: Final = 8
"""Bits below an integer's last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """Which of the base's ``of`` channels are still there, in increasing order."""

    of: int
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Output channels, inputs and taps (``line`` of them in a line) of a tensor, and in which order they lie."""

    outputs: int
    inputs: int
    taps: int
    order: int
    line: int

    @property
    def count(self) -> int:
        """How many elements."""
        return self.outputs * self.inputs * self.taps

    def pairs(self) -> tuple[Ints, Ints]:
        """Return output and input of each element of one tap in the order they are coded: diagonal by diagonal.

        So every stretch of the walk touches all outputs and all inputs, and each is known early.
        """
        place = np.arange(self.outputs * self.inputs)
        given = place % self.inputs
        return (place // self.inputs + given) % self.outputs, given

    def places(self, *, outputs: Pick | None, inputs: Pick | None) -> Ints:
        """Return where in the base's larger tensor the elements of this one lie."""
        kept = {"O": outputs, "I": inputs, "T": None}
        own = {"O": self.outputs, "I": self.inputs, "T": self.taps}
        sizes = [own[axis] if (pick := kept[axis]) is None else pick.of for axis in ORDERS[self.order]]
        places = np.arange(int(np.prod(sizes))).reshape(sizes)
        for at, axis in enumerate(ORDERS[self.order]):
            if (pick := kept[axis]) is not None:
                places = places.take(pick.kept, axis=at)
        return places.reshape(-1)

    def walk(self) -> Ints:
        """Return the place of each element in the order they are coded: tap by tap, all pairs of each."""
        output, given = self.pairs()
        sizes = {"O": self.outputs, "I": self.inputs, "T": self.taps}
        order = ORDERS[self.order]
        places = np.arange(self.count).reshape([sizes[axis] for axis in order])
        return np.ascontiguousarray(places.transpose([order.index(axis) for axis in "TIO"])[:, given, output]).reshape(
            -1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A number for each output channel and one for each column (tap by tap its inputs); the product is times 2**shift.

    It counts in the fixed point of ``Expected``.
    """

    outputs: Ints
    columns: Ints
    shift: int

    def moves(self, output: Ints, inputs: int) -> Ints:
        """Return how far it moves each element of the walk; ``output`` is the channel of each."""
        pairs = len(output) // (len(self.columns) // inputs)
        given = np.arange(pairs) % inputs
        column = np.arange(len(self.columns) // inputs)[:, None] * inputs + given
        product = self.outputs[output] * self.columns[column.reshape(-1)]
        room = 1 << (62 - max(self.shift, 0))
        moves: Ints = np.clip(product, -room, room) << max(self.shift, 0) >> max(-self.shift, 0)
        return moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """How the sender says that a tensor moved.

    ``ratios``: old scale over new one, for each output channel, in 1 / 2**RATIO_BITS; None where they are equal.
    ``tilts``: what each channel grew by beside that; None where it did not.
    ``slopes``: how far an element moves with its neighbours, in 1 / 2**SLOPE_BITS: in the first line with the left
    one; at the start of a line with the upper one; elsewhere with left, upper and the one between.
    ``parts``: products that all elements moved by: gradients of a layer are sums of few such products.
    """

    ratios: Ints | None = None
    tilts: Ints | None = None
    slopes: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    parts: tuple[Part, ...] = ()


def scale_ratios(old: Ints, new: Ints) -> Ints:
    """Return old / new in 1 / 2**RATIO_BITS for scales as ordered fp32 patterns; 1 where a scale is not positive."""
    usable = (old >= 1 << 23) & (new >= 1 << 23)
    mantissas = [(np.where(usable, one, 1 << 23) & 0x7FFFFF) | 0x800000 for one in (old, new)]
    shift = np.clip(np.where(usable, (old >> 23) - (new >> 23), 0), -20, 4)
    ratios: Ints = (mantissas[0] << (RATIO_BITS + shift)) // mantissas[1]
    return ratios


class Expected:
    """Says what to expect of each block from those before it."""

    def __init__(self, old: Ints, *, shape: Shape, kind: Kind, hints: Hints, output: Ints) -> None:
        """Take the old elements in the order of the walk, and for each its output channel."""
        self._kind = kind
        self._old = old
        self._slopes = hints.slopes
        self._one_tap = shape.outputs * shape.inputs
        self._line = shape.line
        self._drift = np.zeros(shape.count, np.int64)
        if is_float(kind):
            self._top = int(exponents(old, kind).max(initial=1))
            self._from = self._fixed(old)
            self._moved = self._from
            if hints.tilts is not None:
                self._moved = self._from + (self._from * hints.tilts[output] >> TILT_BITS[kind])
        else:
            self._top = 0
            zero = 128 if kind is Kind.UINT8 else 0
            ratio = np.full(shape.outputs, 1 << RATIO_BITS, np.int64) if hints.ratios is None else hints.ratios
            if hints.tilts is not None:
                ratio = ratio + (hints.tilts << (RATIO_BITS - TILT_BITS[kind]))
            self._from = old
            self._moved = ((old - zero) * ratio[output] >> (RATIO_BITS - _FRACTION)) + (zero << _FRACTION)

        for part in hints.parts:
            self._moved = np.clip(self._moved + part.moves(output, shape.inputs), -_FAR, _FAR)

    def block(self, first: int, last: int) -> tuple[Ints, Ints]:
        """Return the expected elements and, for integers, in which sixteenth between two steps that falls."""
        aim = self._moved[first:last] + self._from_neighbours(first, last)
        if is_float(self._kind):
            return self._nearest(aim, first, last), aim
        upper = aim + (1 << (_FRACTION - 1))
        expected = upper >> _FRACTION
        if self._kind.small:
            low = 0 if self._kind is Kind.UINT8 else -128
            expected = np.clip(expected, low, low + 255)
        return expected, (upper >> (_FRACTION - 4)) & 15

    @property
    def drift(self) -> Ints:
        """How far each element moved beyond its hints."""
        return self._drift

    def exponent(self, values: Ints) -> Ints:
        """Return the exponents of floats; zeros for integers."""
        return exponents(values, self._kind)

    def learn(self, first: int, last: int, found: Ints) -> None:
        """Note how far the elements of a block moved beyond their hints."""
        self._drift[first:last] = self._value(found) - self._moved[first:last]

    def distance(self, first: int, last: int, found: Ints) -> Ints:
        """Return how far the elements are from where they were aimed at, in fixed point."""
        away = np.abs(self._value(found) - self._moved[first:last] - self._from_neighbours(first, last))
        near: Ints = np.minimum(away, _FAR)
        return near

    @property
    def floor(self) -> int:
        """What the logarithm of a distance, in 1 / 16, is short of in that of the elements' own steps."""
        return 16 * (self._top - _FINE) if is_float(self._kind) else -16 * _FRACTION

    def size(self, values: Ints) -> Ints:
        """Return the logarithm of floats, in 1 / 16, as ``floor`` counts it: 16 for each exponent of their steps."""
        mantissa = MANTISSA_BITS.get(self._kind, 0)
        size = np.where(values < 0, -1 - values, values)
        result: Ints = (size >> (mantissa - 4)) + 16 * mantissa if mantissa else size
        return result

    def _value(self, found: Ints) -> Ints:
        return self._fixed(found) if is_float(self._kind) else found << _FRACTION

    def _from_neighbours(self, first: int, last: int) -> Ints:
        tap = first // self._one_tap
        row, column = divmod(tap, self._line)
        one, other = (1, self._line)
        if not any(self._slopes) or tap == 0:
            return np.zeros(last - first, np.int64)
        steps: tuple[tuple[int, int], ...]
        if row == 0:
            steps = ((one, self._slopes[0]),)
        elif column == 0:
            steps = ((other, self._slopes[1]),)
        else:
            steps = tuple(zip((one, other, one + other), self._slopes[2:], strict=True))
        total = np.zeros(last - first, np.int64)
        for taps, slope in steps:
            back = taps * self._one_tap
            total += self._drift[first - back : last - back] * slope
        return total >> SLOPE_BITS

    def _fixed(self, values: Ints) -> Ints:
        """Return floats as fixed-point numbers: the largest old one's last bit is 2**_FINE; far larger ones are cut."""
        mantissa = MANTISSA_BITS[self._kind]
        size = np.where(values < 0, -1 - values, values)
        exponent = exponents(values, self._kind)
        digits = (size & ((1 << mantissa) - 1)) | np.where(size >> mantissa, 1 << mantissa, 0)
        shift = np.clip(exponent - self._top + _FINE, -63, _FINE + 8)
        fixed = np.where(shift >= 0, digits << np.maximum(shift, 0), digits >> np.maximum(-shift, 0))
        return np.where(values < 0, -fixed, fixed)

    def _nearest(self, aim: Ints, first: int, last: int) -> Ints:
        """Return the floats that the aims stand for; exact where little moved."""
        old, start = self._old[first:last], self._from[first:last]
        step = exponents(old, self._kind) - self._top + _FINE
        moved = np.clip(aim - start, -_FAR, _FAR)
        near = old + np.where(step >= 0, moved >> np.maximum(step, 0), moved << np.clip(-step, 0, 16))
        mantissa = MANTISSA_BITS[self._kind]
        size = np.abs(aim)
        bits = np.frexp(size.astype(np.float64))[1].astype(np.int64)
        excess = bits - mantissa - 1
        digits = np.where(excess >= 0, size >> np.maximum(excess, 0), size << np.clip(-excess, 0, mantissa + 1))
        exponent = excess - _FINE + self._top
        pattern = np.where(exponent >= 1, (exponent << mantissa) + digits - (1 << mantissa), 0)
        far = np.where(aim < 0, -1 - pattern, pattern)
        return np.where(np.abs(moved) * 4 > np.abs(start), far, near)
