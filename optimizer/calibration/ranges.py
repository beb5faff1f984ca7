"""The range of a tensor that its 8 bits cover, read from its statistics: wide keeps outliers, narrow keeps fine steps.

Every range holds zero (padding and Relu need it exact) and is never empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.calibration.statistics import TensorStatistics

_LEVELS: Final = 256
_KL_LEVELS: Final = 128
"""Levels of the quantized distribution, and the fewest bins that tell it from the one seen."""
_CLIPS: Final = 96
"""How many clips a search tries."""

Range: TypeAlias = tuple[float, float]


class CalibrationMethod(StrEnum):
    """How the range of an activation is read from the calibration rows."""

    MINMAX = "minmax"
    """From the smallest to the largest value seen."""
    PERCENTILE = "percentile"
    """Without the rarest values at each end."""
    ENTROPY = "entropy"
    """The clip whose quantized distribution diverges least (Kullback-Leibler) from the one seen."""
    MSE = "mse"
    """The clip with the least expected squared error: of clipping, and of rounding inside."""


@dataclass(frozen=True, slots=True)
class _Bins:
    """A histogram widened to hold zero: ``centers`` and ``width`` in the tensor's unit."""

    counts: NDArray[np.float64]
    centers: NDArray[np.float64]
    width: float


def range_of(tensor: TensorStatistics, method: CalibrationMethod, *, percentile: float = 99.99) -> Range:
    """Return low and high of the range; low <= 0 <= high, low < high.

    Inside of what was seen, widened to hold zero; a tensor that was zero throughout gets (0, 1).

    Args:
        tensor: what the tensor looked like.
        method: how to choose.
        percentile: share of values, percent, that ``PERCENTILE`` keeps between the ends; half of the rest is cut at
            each end that is not a bound by nature (a tensor without negative values keeps its zero).
    """
    whole = _holding_zero(tensor.low, tensor.high)
    if method is CalibrationMethod.MINMAX or tensor.high <= tensor.low or not tensor.histogram.any():
        return whole
    if method is CalibrationMethod.PERCENTILE:
        return _inside(_percentile(tensor, percentile / 100), whole)
    bins = _bins(tensor)
    candidates = _clips(whole)
    loss = _divergence if method is CalibrationMethod.ENTROPY else _squared_error
    losses = [loss(bins, low, high) for low, high in candidates]
    if not np.isfinite(losses).any():
        return whole
    return candidates[int(np.argmin(losses))]


def _holding_zero(low: float, high: float) -> Range:
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high > low else (0.0, 1.0)


def _inside(found: Range, whole: Range) -> Range:
    low, high = _holding_zero(max(found[0], whole[0]), min(found[1], whole[1]))
    return (low, min(high, whole[1]))


def _percentile(tensor: TensorStatistics, kept: float) -> Range:
    """Return the ends between which that share lies, to within a bin."""
    if kept >= 1.0:
        return tensor.low, tensor.high
    counts = tensor.histogram.astype(np.float64)
    edges = np.linspace(tensor.histogram_low, tensor.histogram_high, len(counts) + 1)
    seen = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    cut = 1.0 - kept
    both = tensor.low < 0 < tensor.high
    below, above = (
        (cut / 2, 1 - cut / 2) if both else (cut if tensor.high <= 0 else 0.0, kept if tensor.low >= 0 else 1.0)
    )
    low = float(edges[max(int(np.searchsorted(seen, below, side="right")) - 1, 0)])
    high = float(edges[min(int(np.searchsorted(seen, above, side="left")), len(counts))])
    return low, high


def _bins(tensor: TensorStatistics) -> _Bins:
    width = (tensor.histogram_high - tensor.histogram_low) / len(tensor.histogram)
    centers = tensor.histogram_low + (np.arange(len(tensor.histogram)) + 0.5) * width
    used = tensor.histogram > 0
    return _Bins(
        counts=tensor.histogram[used].astype(np.float64),
        centers=np.clip(centers[used], tensor.low, tensor.high),
        width=width,
    )


def _clips(whole: Range) -> list[Range]:
    """Return ranges from the whole one down, each cut by the same absolute value at both ends."""
    widest = max(-whole[0], whole[1])
    limits = widest * np.geomspace(1.0, 1.0 / 64, _CLIPS)
    return [(max(whole[0], -float(limit)), min(whole[1], float(limit))) for limit in limits]


def _squared_error(bins: _Bins, low: float, high: float) -> float:
    """Return the sum of squared errors: of clipping outside, of rounding (uniform in a step) inside.

    Zero is a point of the grid, so values at zero (most of what a Relu gives) have no error.
    """
    step = (high - low) / (_LEVELS - 1)
    clipped = np.clip(bins.centers, low, high)
    outside = bins.counts @ (bins.centers - clipped) ** 2
    rounded = np.abs(bins.centers) > max(step, bins.width) / 2
    inside = float(bins.counts[(bins.centers >= low) & (bins.centers <= high) & rounded].sum()) * step**2 / 12
    return float(outside) + inside


def _divergence(bins: _Bins, low: float, high: float) -> float:
    """Return the Kullback-Leibler divergence of the quantized distribution from the one seen, clipped (Migacz 2017).

    Zeros are left out: they are exact on every grid, and after a Relu they would outweigh all else.
    """
    inside = (bins.centers >= low) & (bins.centers <= high) & (np.abs(bins.centers) > bins.width)
    if inside.sum() < _KL_LEVELS:
        return math.inf
    counts, centers = bins.counts[inside], bins.centers[inside]
    seen = counts.copy()
    seen[0] += bins.counts[bins.centers < low].sum()
    seen[-1] += bins.counts[bins.centers > high].sum()
    level = np.minimum(((centers - low) / (high - low) * _KL_LEVELS).astype(np.int64), _KL_LEVELS - 1)
    totals, members = np.bincount(level, counts, _KL_LEVELS), np.bincount(level, minlength=_KL_LEVELS)
    quantized = totals[level] / members[level]
    share, model = seen / seen.sum(), quantized / quantized.sum()
    return float(np.sum(share * np.log(share / np.maximum(model, 1e-300))))
