"""The chance of a bit from several contexts, learned on the way, in integers alone.

Each context counts zeros and ones; its chance leans on the chance over all contexts while it has seen little. The
chances are mixed in the logistic domain, with weights that follow the error by Newton's step on the diagonal. Encoder
and decoder do the same integer operations in the same order, so every machine has the same chances: sums in floating
point are of whole numbers below 2**53 and therefore exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np

from contracts.delta.lanes import ONE, Bits, Ints

_STEPS: Final = 256
"""Of one unit of the logistic domain."""
_REACH: Final = 11 * _STEPS
_WEIGHT: Final = 1 << 16
_LEAN: Final = 3
"""How many bits the chance over all contexts counts for."""
_LIMIT: Final = 4000
"""What a context remembers."""
_EDGE: Final = 12
_STIFF: Final = 8


@cache
def _curves() -> tuple[Ints, Ints]:
    """Return squash (for -_REACH.._REACH) and stretch (for 0..65535), made from integers of 200 bits."""
    one = 1 << 200
    growth, term, count = one, one, 1
    while term:  # exp(1 / _STEPS) by its series
        term //= _STEPS * count
        growth += term
        count += 1
    powers = [one]
    for _ in range(_REACH):
        powers.append(powers[-1] * growth >> 200)
    upper = [ONE * power // (power + one) for power in powers]
    squash = [ONE - value for value in reversed(upper[1:])] + upper
    table = np.clip(np.array(squash, np.int64), 1, ONE - 1)
    stretch = np.searchsorted(table, np.arange(ONE), side="left").astype(np.int64) - _REACH
    return table, np.clip(stretch, -_REACH, _REACH)


class BitModel:
    """One kind of bit: its contexts' counts and its weights.

    Args:
        sizes: how many contexts each of the views distinguishes.
        sets: how many sets of weights there are to choose from.
    """

    def __init__(self, sizes: Sequence[int], *, sets: int) -> None:
        """Know nothing."""
        views = len(sizes)
        self._zeros = [np.zeros(size, np.int64) for size in sizes]
        self._ones = [np.zeros(size, np.int64) for size in sizes]
        self._root = np.zeros((2, sets), np.int64)
        self._weights = np.full((views, sets), 5 * _WEIGHT // (4 * views), np.int64)
        self._stiffness = np.full((views, sets), _STIFF << 26, np.int64)
        self._sets = sets

    def code(self, bits: Bits, views: Sequence[Ints], *, chosen: Ints, values: Ints) -> Ints:
        """Code one bit for each element through ``bits``, then learn from them; return them.

        Args:
            bits: the encoder or decoder.
            views: for each view the contexts, shape (n,).
            chosen: the sets of weights, shape (n,).
            values: the bits where they are known (encoding), else zeros to be filled.
        """
        squash, stretch = _curves()
        zeros, ones = self._root[0][chosen], self._root[1][chosen]
        base = ((2 * ones + 1) * ONE) // (2 * (zeros + ones) + 2)
        inputs = []
        for view, (no, yes) in zip(views, zip(self._zeros, self._ones, strict=True), strict=True):
            seen_no, seen_yes = no[view], yes[view]
            chance = (seen_yes * ONE + _LEAN * base) // (seen_no + seen_yes + _LEAN)
            inputs.append(stretch[np.clip(chance, 1, ONE - 1)])
        dot = sum(
            (one * self._weights[place][chosen] for place, one in enumerate(inputs)), np.zeros(len(chosen), np.int64)
        )
        mixed = np.clip(dot >> 16, -_REACH, _REACH)
        chances = np.clip(squash[mixed + _REACH], _EDGE, ONE - _EDGE)
        result = bits.code(chances, values)
        self._learn(views, inputs, chances=chances, chosen=chosen, result=result)
        return result

    def _learn(
        self, views: Sequence[Ints], inputs: Sequence[Ints], *, chances: Ints, chosen: Ints, result: Ints
    ) -> None:
        error = (result << 16) - chances
        slope = (chances * (ONE - chances)) >> 16
        for place, (view, one) in enumerate(zip(views, inputs, strict=True)):
            pull = _sums(chosen, error * one, self._sets)
            self._stiffness[place] += _sums(chosen, slope * ((one * one) >> 6), self._sets)
            moved = (pull << 14) // (len(inputs) * ((self._stiffness[place] >> 4) + 1))
            self._weights[place] += np.clip(moved, -_WEIGHT // 4, _WEIGHT // 4)
            yes = _sums(view, result, len(self._ones[place]))
            self._ones[place] += yes
            self._zeros[place] += _sums(view, np.ones_like(view), len(self._ones[place])) - yes
            full = self._ones[place] + self._zeros[place] > _LIMIT
            if full.any():
                self._ones[place] >>= full
                self._zeros[place] >>= full
        yes = _sums(chosen, result, self._sets)
        self._root[1] += yes
        self._root[0] += _sums(chosen, np.ones_like(chosen), self._sets) - yes


def _sums(places: Ints, values: Ints, count: int) -> Ints:
    """Return for each place the sum of its values; exact, as all partial sums are whole and below 2**53."""
    return np.bincount(places, weights=values, minlength=count).astype(np.int64)
