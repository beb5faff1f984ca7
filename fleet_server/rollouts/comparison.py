"""How far a wave's answers and latencies are from the control's, and how far chance alone would take them.

Pure. A distance between two samples is never zero, and with few rows it is large by chance. So each
limit is widened by what chance does at these row counts, in quadrature:

    bound = sqrt(limit^2 + noise^2),   noise = null mean + 3 null standard deviations

where the null is "both sides draw from one distribution", the pooled one, and the counts are
multinomial. With many rows the bound is the limit; with few it is what identical releases would
almost never exceed. For the latency, the wave's 95th percentile is read 3 standard errors of its rank
too low and the control's 3 too high.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest

from contracts.sketch import LATENCY_EDGES_MS

Z_NOISE = 3.0
"""Standard deviations of chance that a comparison allows for: about one false halt in a thousand."""

MANY_CELLS = 200
"""Beyond so many cells their covariances add less than a hundredth, and their number is what takes time."""

_HALF_OCTAVE = math.sqrt(2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """Total variation distance (0..1) of two histograms, and what it may be at these row counts."""

    value: float
    bound: float

    @property
    def is_too_far(self) -> bool:
        """Whether the distance is beyond limit and chance."""
        return self.value > self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """The wave's p95 over the control's; ``least_ratio`` is what remains after allowing for chance."""

    wave_p95_ms: float
    control_p95_ms: float
    least_ratio: float


def distance(wave: Sequence[int], control: Sequence[int], *, limit: float) -> Distance:
    """Return how far apart the histograms are, and the limit widened by chance.

    Args:
        wave: counts, one entry a bin; not all zero.
        control: counts over the same bins; a bin that only one side has counts as 0 on the other.
        limit: total variation distance (0..1) that is acceptable however many rows there are.
    """
    pairs = [pair for pair in zip_longest(wave, control, fillvalue=0) if any(pair)]
    wave_rows, control_rows = sum(left for left, _ in pairs), sum(right for _, right in pairs)
    value = sum(abs(left / wave_rows - right / control_rows) for left, right in pairs) / 2
    pooled = [(left + right) / (wave_rows + control_rows) for left, right in pairs]
    noise = _null_mean_and_spread(pooled, 1 / wave_rows + 1 / control_rows)
    return Distance(value=value, bound=math.hypot(limit, noise))


def slowdown(wave: Sequence[int], control: Sequence[int]) -> Slowdown:
    """Return how much slower the wave is, from latency histograms over LATENCY_EDGES_MS, neither empty."""
    least_wave = percentile_ms(wave, 0.95 - _rank_noise(wave))
    most_control = percentile_ms(control, 0.95 + _rank_noise(control))
    return Slowdown(
        wave_p95_ms=percentile_ms(wave, 0.95),
        control_p95_ms=percentile_ms(control, 0.95),
        least_ratio=least_wave / most_control,
    )


def percentile_ms(counts: Sequence[int], share: float) -> float:
    """Return the latency below which that share (cut to 0..1) of the requests lies.

    Between a bin's edges the logarithm is taken as even; the two open bins are half an octave wide.
    """
    edges = (LATENCY_EDGES_MS[0] / _HALF_OCTAVE, *LATENCY_EDGES_MS, LATENCY_EDGES_MS[-1] * _HALF_OCTAVE)
    wanted = min(max(share, 0.0), 1.0) * sum(counts)
    below = 0
    for place, count in enumerate(counts):
        if count and below + count >= wanted:
            inside = (wanted - below) / count
            return edges[place] * math.pow(edges[place + 1] / edges[place], inside)
        below += count
    return edges[-1]


def add_counts(histograms: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Return the sum, bin by bin; shorter histograms count as 0 in the bins they lack."""
    return tuple(sum(column) for column in zip_longest(*histograms, fillvalue=0))


def _null_mean_and_spread(shares: Sequence[float], inverse_rows: float) -> float:
    # each difference of shares is near normal; the mean and the covariance of |normal| are known in closed form
    sigmas = [math.sqrt(share * (1 - share) * inverse_rows) for share in shares]
    mean = math.sqrt(2 / math.pi) * sum(sigmas) / 2
    variance = (1 - 2 / math.pi) * sum(sigma * sigma for sigma in sigmas) / 4
    cells = zip(shares, sigmas, strict=True)
    for (left, left_sigma), (right, right_sigma) in combinations(cells if len(shares) <= MANY_CELLS else (), 2):
        variance += _absolute_covariance(left, right) * left_sigma * right_sigma / 2
    return mean + Z_NOISE * math.sqrt(variance)


def _absolute_covariance(left: float, right: float) -> float:
    # two cells of one multinomial have correlation -sqrt(pq / ((1-p)(1-q)))
    odds = left * right
    correlation = min(1.0, math.sqrt(odds / ((1 - left) * (1 - right)))) if odds < (1 - left) * (1 - right) else 1.0
    return 2 / math.pi * (correlation * math.asin(correlation) + math.sqrt(1 - correlation * correlation) - 1)


def _rank_noise(counts: Sequence[int]) -> float:
    return Z_NOISE * math.sqrt(0.95 * 0.05 / sum(counts))
