"""Three classic tests on counts and moments, in the standard library alone.

Pure. Each returns a p-value: how often chance alone, with no change, would look at least this different.

>>> round(chi_square_tail(3.841, 1), 3)
0.05
>>> round(two_sided_t(1.984, 100), 3)
0.05
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MIN_EXPECTED = 5.0
"""Cells of which either side expects fewer are pooled with their neighbours: below it the chi-square law fails."""

EXACT_TRIALS = 2_000
"""Up to so many hits a binomial tail is summed exactly; beyond it the normal law is as good."""


def same_histogram(left: Sequence[int], right: Sequence[int], *, design_effect: float = 1.0) -> float:
    """Return the p-value of the two-sample chi-square test; neighbouring small cells are pooled first.

    1.0 where fewer than two cells are left: then there is nothing to compare. ``design_effect`` is by how much
    dependence between rows inflates the variance (1: none).
    """
    rows = (sum(left), sum(right))
    cells = pool_small(left, right)
    if min(rows) == 0 or len(cells) < 2:
        return 1.0
    statistic = sum((one * rows[1] - other * rows[0]) ** 2 / (one + other) for one, other in cells)
    return chi_square_tail(statistic / (rows[0] * rows[1]) / design_effect, len(cells) - 1)


def pool_small(left: Sequence[int], right: Sequence[int]) -> list[tuple[int, int]]:
    """Return the cells, neighbours joined until each side expects at least MIN_EXPECTED in each."""
    smaller = min(sum(left), sum(right))
    total = sum(left) + sum(right)
    cells: list[tuple[int, int]] = []
    one = other = 0
    for add_one, add_other in zip(left, right, strict=True):
        one, other = one + add_one, other + add_other
        if (one + other) * smaller >= MIN_EXPECTED * total:
            cells.append((one, other))
            one = other = 0
    if cells and (one or other):
        cells[-1] = (cells[-1][0] + one, cells[-1][1] + other)
    return cells


def same_mean(*, gap: float, error: float, freedom: float) -> float:
    """Return the p-value of a gap between two means whose standard error is ``error`` (Welch)."""
    if error == 0.0:
        return 1.0 if gap == 0.0 else 0.0
    return two_sided_t(gap / error, freedom)


def same_share(*, hits: tuple[int, int], rows: tuple[int, int]) -> float:
    """Return the p-value that two counts come from one share; exact given their sum (binomial tail, doubled)."""
    total = sum(hits)
    if total == 0 or min(rows) == 0:
        return 1.0
    share = rows[0] / sum(rows)
    upper = _binomial_tail(total, hits[0], share)
    lower = _binomial_tail(total, hits[1], 1 - share)
    return min(1.0, 2 * min(upper, lower))


def two_sided_t(statistic: float, freedom: float) -> float:
    """Return the p-value of Student's t, by Wallace's transformation to a normal deviate."""
    deviate = math.sqrt(freedom * math.log1p(statistic * statistic / freedom))
    return math.erfc(deviate * (8 * freedom + 1) / (8 * freedom + 3) / math.sqrt(2))


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Return the chance that a chi-square variable of that freedom exceeds the statistic."""
    return _upper_gamma(freedom / 2, statistic / 2)


def _upper_gamma(shape: float, x: float) -> float:
    # Numerical Recipes 6.2: a series below shape + 1, a continued fraction (Lentz) above
    if x <= 0:
        return 1.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        place = shape
        while term > total * 1e-15:
            place += 1
            term *= x / place
            total += term
        return max(0.0, 1 - front * total)
    return front * _continued_fraction(shape, x)


def _continued_fraction(shape: float, x: float) -> float:
    b = x + 1 - shape
    c = 1e300
    d = 1 / b
    value = d
    for step in range(1, 1000):
        a = -step * (step - shape)
        b += 2
        d = 1 / (a * d + b)
        c = b + a / c
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _binomial_tail(trials: int, at_least: int, share: float) -> float:
    if trials > EXACT_TRIALS:
        spread = math.sqrt(trials * share * (1 - share))
        return math.erfc((at_least - 0.5 - trials * share) / spread / math.sqrt(2)) / 2
    return min(1.0, sum(_binomial_point(trials, hits, share) for hits in range(at_least, trials + 1)))


def _binomial_point(trials: int, hits: int, share: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return math.exp(ways + hits * math.log(share) + (trials - hits) * math.log1p(-share))
