"""Tensors of a next version, coded by what the base has in their place.

Elements are walked tap by tap, input by input, output channels innermost, in blocks that grow: within a block nothing
is learned, so numpy codes it at once. What a block's elements are seen by: how much their output channel, their input
and the earlier taps of the same pair moved so far, the old value, and for integers where between two steps of the new
scale the old value falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from contracts.delta.elements import MANTISSA_BITS, Kind, bit_lengths, is_float, logarithms, stored_range, wrapped
from contracts.delta.expecting import Expected, Hints, Shape
from contracts.delta.lanes import Bits, FieldReader, Ints
from contracts.delta.plan import PARTS_LIMIT
from contracts.delta.residuals import CloseCoder, ResidualCoder, Sizes, Views

_FIRST_BLOCK: Final = 64
_BLOCK_LIMIT: Final = 16_384
_NEW_BLOCK: Final = 1_024
_SHRINK: Final = 4
"""How many elements the tensor's mean counts for in a channel's."""
_SHARES: Final = 40
_WIDTHS: Final = 160
_NUMBERS: Final = 256
_TILT_LEVELS: Final = 4
_PHASES: Final = 8
_LEANS: Final = 25
_CLOSE_LEVELS: Final = 64
_CLOSE_LEAST: Final = 1024
_CLOSE: Final = -24


class _Seen:
    """How large changes were so far, by output channel, by input, and in the whole tensor."""

    def __init__(self, shape: Shape, start: int) -> None:
        self._sums = [np.zeros(shape.outputs, np.int64), np.zeros(shape.inputs, np.int64)]
        self._counts = [np.zeros(shape.outputs, np.int64), np.zeros(shape.inputs, np.int64)]
        self._sum, self._count = _SHRINK * start, _SHRINK

    @property
    def mean(self) -> int:
        """Over all elements so far."""
        return self._sum // self._count

    def means(self, axis: int, places: Ints) -> Ints:
        """Return the mean of each place's channel, leaning on that of the tensor."""
        lean = _SHRINK * self.mean
        result: Ints = ((self._sums[axis] + lean) // (self._counts[axis] + _SHRINK))[places]
        return result

    def add(self, values: Ints, *places: Ints) -> None:
        """Count the values of a block."""
        for axis, at in enumerate(places):
            np.add.at(self._sums[axis], at, values)
            np.add.at(self._counts[axis], at, 1)
        self._sum += int(values.sum())
        self._count += len(values)


class TensorCoder:
    """Codes all tensors of a delta through one stream of bits; what one teaches helps the next."""

    def __init__(self, bits: Bits, raw: FieldReader | None) -> None:
        """Know nothing; ``raw`` is there when decoding."""
        shares = [32, _SHARES * 16, _SHARES * 16, 12 * 9 * 16, 8 * 16 * 10, _NUMBERS * 16]
        signs = [16, 16 * 9, 16 * 9, 5 * 5, 16 * 5]
        small = Sizes(zero=shares, sign=signs, length=[_SHARES, _SHARES, 12 * 9, _NUMBERS])
        widths = [_WIDTHS, _WIDTHS, _WIDTHS, _NUMBERS, 40 * 40]
        wide = Sizes(
            zero=widths,
            sign=[9, 5 * 5, _NUMBERS, _WIDTHS],
            length=[_PHASES, _WIDTHS, 4 * _LEANS, 4 * _LEANS, _NUMBERS],
        )
        alone = Sizes(zero=[1], sign=[1], length=[1, 1])
        self._rest: list[tuple[Ints, Ints]] = []
        self._small = ResidualCoder(bits, small, levels=3, raw=raw or self._rest)
        self._wide = ResidualCoder(bits, wide, levels=5, raw=raw or self._rest)
        part = Sizes(zero=[PARTS_LIMIT], sign=[PARTS_LIMIT], length=[PARTS_LIMIT, PARTS_LIMIT])
        self._parts = ResidualCoder(bits, part, levels=_TILT_LEVELS, raw=raw or self._rest)
        self._tilts = ResidualCoder(bits, alone, levels=_TILT_LEVELS, raw=raw or self._rest)
        self._close = CloseCoder(bits, [_CLOSE_LEVELS], raw=raw or self._rest)
        self._starts = {True: 64, False: 0}
        self._done = {True: 0, False: 0}
        self._tensors = 0

    @property
    def rest(self) -> list[tuple[Ints, Ints]]:
        """The low bits of all that was encoded and their widths, block by block."""
        return self._rest

    def code_tilts(self, known: Ints | None, *, count: int) -> Ints:
        """Return how much each output channel leans away from its ratio: below 2**15 in size."""
        alone = [np.zeros(count, np.int64)]
        return self._tilts.code(
            Views(zero=alone, sign=alone, length=alone * 2, down=alone[0], centre=alone[0]), known, count=count
        )

    def code_part(self, known: Ints | None, *, count: int, place: int) -> Ints:
        """Return one side of the product at that place: below 2**15 in size."""
        alone = np.full(count, place, np.int64)
        views = Views(zero=[alone], sign=[alone], length=[alone, alone], down=alone * 0, centre=alone * 0)
        return self._parts.code(views, known, count=count)

    def code(self, old: Ints, known: Ints | None, *, shape: Shape, kind: Kind, hints: Hints) -> Ints:
        """Return the elements of the new tensor, in the order that they lie.

        Args:
            old: what the base has in their place.
            known: the new elements when encoding.
            shape: of both.
            kind: type of both.
            hints: what the sender says of how the old ones moved.
        """
        walk = shape.walk()
        result = np.zeros(shape.count, np.int64)
        tensor = _Tensor(
            old=old[walk], shape=shape, kind=kind, hints=hints, number=self._tensors % _NUMBERS,
            start=self._starts[kind.small],
        )  # fmt: skip
        coder = self._small if kind.small else self._wide
        new = known[walk] if known is not None else None
        for first, last in self._blocks(shape, kind):
            views = tensor.look(first, last)
            given = None if new is None else new[first:last]
            found = self._block(coder, tensor, views, given, kind=kind)
            residual = wrapped(found - tensor.expected, kind)
            tensor.learn(first, last, residual, found)
            result[walk[first:last]] = found
        self._starts[kind.small] = tensor.start
        self._tensors += 1
        return result

    def _block(self, coder: ResidualCoder, tensor: _Tensor, views: Views, known: Ints | None, *, kind: Kind) -> Ints:
        """Return the elements of a block."""
        expected = tensor.expected
        close = np.zeros(len(expected), bool)
        found = np.zeros(len(expected), np.int64)
        if is_float(kind):
            close = tensor.close
            at = np.flatnonzero(close)
            if len(at):
                found[at] = self._close.code(
                    [view[at] for view in tensor.close_views], None if known is None else known[at],
                    down=views.down[at], centre=tensor.centre[at], mantissa=MANTISSA_BITS[kind],
                )  # fmt: skip
        at = np.flatnonzero(~close)
        if len(at):
            residual = None if known is None else wrapped(known[at] - expected[at], kind)
            residual = coder.code(views.of(at), residual, count=len(at))
            found[at] = stored_range(expected[at] + residual, kind)
        return found

    def _blocks(self, shape: Shape, kind: Kind) -> Iterator[tuple[int, int]]:
        first = 0
        one_tap = shape.outputs * shape.inputs
        while first < shape.count:
            size = max(_FIRST_BLOCK, min(self._done[kind.small] // 8, _BLOCK_LIMIT, max(first // 2, _NEW_BLOCK)))
            last = min(first + size, (first // one_tap + 1) * one_tap)
            yield first, last
            self._done[kind.small] += last - first
            first = last


class _Tensor:
    """One tensor while it is coded, in the order of the walk."""

    def __init__(self, *, old: Ints, shape: Shape, kind: Kind, hints: Hints, number: int, start: int) -> None:
        self._kind = kind
        self._old = old
        self._number = number
        self._one_tap = shape.outputs * shape.inputs
        self._output, self._input = (np.tile(one, shape.taps) for one in shape.pairs())
        self._prospect = Expected(old, shape=shape, kind=kind, hints=hints, output=self._output)
        self._residual = np.zeros(shape.count, np.int64)
        self._size = np.zeros(shape.count, np.int64)
        self._zero = 128 if kind is Kind.UINT8 else 0
        self._magnitude = np.minimum(bit_lengths(np.abs(old - self._zero)), 9) if kind.small else old
        begin = start if kind.small else 1 << min(max((start - self._prospect.floor) // 16, 0), 40)
        self._seen = _Seen(shape, begin)
        self._turns = np.zeros(shape.outputs, np.int64)
        self._turns_in = np.zeros(shape.inputs, np.int64)
        self.expected = old
        self._exponent = old

    @property
    def start(self) -> int:
        """What the next tensor of the kind starts from."""
        if self._kind.small:
            return self.mean
        return int(logarithms(np.array([self.mean + 1]), steps=16)[0]) + self._prospect.floor

    @property
    def mean(self) -> int:
        """How large changes were."""
        return self._seen.mean

    def look(self, first: int, last: int) -> Views:
        """Set what is expected of a block and return what its elements are seen by."""
        self.expected, between = self._prospect.block(first, last)
        if self._kind.small:
            return self._small_views(first, last, between)
        self._exponent = self._prospect.exponent(self.expected)
        return self._wide_views(first, last)

    def _before(self, array: Ints, first: int, last: int, taps: int) -> Ints:
        """Return the array at the same outputs and inputs so many taps ago; zeros where there was none."""
        back = taps * self._one_tap
        return array[first - back : last - back] if first >= back else np.zeros(last - first, np.int64)

    def _small_views(self, first: int, last: int, between: Ints) -> Views:
        output, given = self._output[first:last], self._input[first:last]
        magnitude = self._magnitude[first:last]
        whole = int(logarithms(np.array([self.mean + 1]), steps=4)[0])
        rows, columns = (logarithms(self._seen.means(axis, at) + 1, steps=4) for axis, at in ((0, output), (1, given)))
        share = np.clip(rows, 0, _SHARES - 1)
        both = np.clip(rows + columns - whole, 0, _SHARES - 1)
        previous = [self._before(self._residual, first, last, taps) for taps in (1, 3, 2)]
        near = np.minimum(sum((np.minimum(np.abs(one), 3) for one in previous), np.zeros_like(share)), 8)
        signs = [np.sign(one) + 1 for one in previous]
        turn, turn_in = _turned(self._turns[output]), _turned(self._turns_in[given])
        constant = np.zeros_like(share)
        zero = [
            constant, share * 16 + between, both * 16 + between, (share // 4 * 9 + near) * 16 + between,
            (np.minimum(both // 5, 7) * 16 + between) * 10 + magnitude, self._number * 16 + between,
        ]  # fmt: skip
        sign = [
            between, between * 9 + signs[0] * 3 + signs[1],
            between * 9 + signs[0] * 3 + signs[2], turn * 5 + turn_in, between * 5 + turn,
        ]  # fmt: skip
        down = (self.expected < self._zero) * 1
        return Views(
            zero=zero,
            sign=sign,
            length=[share, both, share // 4 * 9 + near, constant + self._number],
            down=down,
            centre=constant,
        )

    def _wide_views(self, first: int, last: int) -> Views:
        """Return what wider elements are seen by: sizes are in 1/16 bit of the absolute change."""
        output, given = self._output[first:last], self._input[first:last]
        base = self._exponent * 16
        floor = self._prospect.floor
        rows, columns = (logarithms(self._seen.means(axis, at) + 1, steps=16) for axis, at in ((0, output), (1, given)))
        whole = logarithms(np.array([self.mean + 1]), steps=16)[0]
        both = rows + columns - whole
        previous = [self._before(self._size, first, last, taps) for taps in (1, 3)]
        near = (sum((np.where(one == 0, both, one) for one in previous), 2 * both)) // 4
        level = np.maximum(both + floor - base, 0)
        views = [np.clip((one + floor - base) // 4, 0, _WIDTHS - 1) for one in (both, near, rows)]
        signs = [np.sign(self._before(self._residual, first, last, taps)) + 1 for taps in (1, 3)]
        turn = _turned(self._turns[output]) * 5 + _turned(self._turns_in[given])
        number = np.full_like(base, self._number)
        seen = [*views, number, np.minimum(views[0] // 4, 39) * 40 + np.minimum(views[1] // 4, 39)]
        sign = [signs[0] * 3 + signs[1], turn, number, views[0]]
        phase = level % 16 // 2
        size = self._prospect.size(self.expected)  # 1/16 log of the expected, absolute
        apart = both + floor - size  # grows as it comes closer to zero
        self.close = (apart > _CLOSE) & (len(self._old) >= _CLOSE_LEAST)
        spread = both + floor - 16 * MANTISSA_BITS.get(self._kind, 0)
        self.centre = spread // 16
        at = np.clip((apart - _CLOSE) // 8, 0, _CLOSE_LEVELS // 4 - 1) * 4 + spread % 16 // 4
        self.close_views = [at]
        leans = [np.clip((one - both) // 2 + _LEANS // 2, 0, _LEANS - 1) for one in (near, rows)]
        length = [phase, views[0] // 8 * _PHASES + phase, *(one * 4 + phase // 2 for one in leans), number]
        return Views(zero=seen, sign=sign, length=length, down=(self.expected < 0) * 1, centre=level // 16)

    def learn(self, first: int, last: int, residual: Ints, found: Ints) -> None:
        """Count a block's residuals and the values found."""
        output, given = self._output[first:last], self._input[first:last]
        self._residual[first:last] = residual
        small = self._kind.small
        away = np.abs(residual) * 256 if small else self._prospect.distance(first, last, found)
        self._size[first:last] = away if small else logarithms(away + 1, steps=16)
        self._seen.add(away, output, given)
        self._prospect.learn(first, last, found)
        np.add.at(self._turns, output, np.sign(residual))
        np.add.at(self._turns_in, given, np.sign(residual))


def _turned(balance: Ints) -> Ints:
    """Return 0 to 4: how clearly signs lean to one side."""
    clearly: Ints = 1 + (np.abs(balance) > 4)
    return np.sign(balance) * clearly + 2
