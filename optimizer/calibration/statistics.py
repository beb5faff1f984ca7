"""What a tensor inside a model looked like over the calibration rows: the one account that every pass reads.

A ``TensorStatistics`` never grows with the number of rows. Merging two of the same tensor gives what one run over
both sets of rows would have given: exactly for counts, ranges, peaks and the histogram, whatever the order and the
batches; up to the rounding of float64 sums for the means.

The histogram is exact because its edges are not chosen from the first rows and stretched, but follow from the range
alone: a bin is 2^e wide and begins at a whole multiple of 2^e, with the smallest e for which BINS bins span the range.
A wider range only ever joins whole neighbouring bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 2048
_RESOLUTION_BITS: Final = 24
"""A bin is at least the largest value's last bit wide, so that float32 holds every bin's number exactly."""
_FINEST: Final = -120
"""Exponent of the finest bin, for tensors that are zero or nearly so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStatistics:
    """One float tensor over all rows seen.

    Attributes:
        count: how many elements were seen, at least 1.
        low: the smallest of them.
        high: the largest of them.
        histogram: int64, shape (BINS,), elements by bin between ``histogram_low`` and ``histogram_high``; a bin holds
            its left edge and not its right one.
        histogram_low: left edge of the first bin; at most ``low``.
        histogram_high: right edge of the last bin; above ``high``.
        axis: which axis holds the channels (1 where a convolution reads or writes the tensor, else the last).
        channel_peak: float32, shape (channels,), largest absolute value of each channel.
        channel_mean: float64, shape (channels,), mean of each channel. One channel, of the whole tensor, where their
            number changes from row to row.
        infinite: how many of the elements were infinite (masks of attention are); each counts as 0 in all the others.
    """

    count: int
    low: float
    high: float
    histogram: NDArray[np.int64]
    histogram_low: float
    histogram_high: float
    axis: int
    channel_peak: NDArray[np.float32]
    channel_mean: NDArray[np.float64]
    infinite: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Every float tensor of one ONNX model (inputs, inner ones, outputs), by name, over ``rows`` rows."""

    rows: int
    tensors: Mapping[str, TensorStatistics]


def merge(one: Statistics, other: Statistics) -> Statistics:
    """Return the statistics over the rows of both."""
    tensors = dict(one.tensors)
    for name, found in other.tensors.items():
        known = tensors.get(name)
        tensors[name] = found if known is None else merge_tensor(known, found)
    return Statistics(rows=one.rows + other.rows, tensors=tensors)


def merge_tensor(one: TensorStatistics, other: TensorStatistics) -> TensorStatistics:
    """Return the statistics over the elements of both, which are of one tensor."""
    low, high = min(one.low, other.low), max(one.high, other.high)
    grid = grid_of(low, high)
    count = one.count + other.count
    peaks, means = [one.channel_peak, other.channel_peak], [one.channel_mean, other.channel_mean]
    if len(peaks[0]) != len(peaks[1]):
        peaks = [peak.max(keepdims=True) for peak in peaks]
        means = [mean.mean(keepdims=True) for mean in means]
    return TensorStatistics(
        count=count,
        low=low,
        high=high,
        histogram=_moved(one, grid) + _moved(other, grid),
        histogram_low=grid.low,
        histogram_high=grid.high,
        axis=one.axis,
        channel_peak=np.maximum(*peaks),
        channel_mean=(means[0] * one.count + means[1] * other.count) / count,
        infinite=one.infinite + other.infinite,
    )


@dataclass(frozen=True, slots=True)
class Grid:
    """Edges of a histogram: bin i holds the values from (first + i) * 2^exponent to the next edge."""

    exponent: int
    first: int

    @property
    def low(self) -> float:
        """Left edge of the first bin."""
        return math.ldexp(self.first, self.exponent)

    @property
    def high(self) -> float:
        """Right edge of the last bin."""
        return math.ldexp(self.first + BINS, self.exponent)


def grid_of(low: float, high: float) -> Grid:
    """Return the one grid of values that range from ``low`` to ``high``, both finite float32 numbers."""
    resolution = _exponent(max(abs(low), abs(high))) - _RESOLUTION_BITS
    exponent = max(resolution, _exponent((high - low) / BINS) - 1, _FINEST)
    while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= BINS:
        exponent += 1
    return Grid(exponent, math.floor(math.ldexp(low, -exponent)))


def _exponent(value: float) -> int:
    """Return the smallest e with value < 2^e; that of the finest bin for zero, which needs none."""
    return math.frexp(value)[1] if value > 0 else _FINEST


def _moved(statistics: TensorStatistics, grid: Grid) -> NDArray[np.int64]:
    """Return the histogram on a grid whose bins are as wide or a power of two wider: whole bins are joined."""
    exponent = math.frexp((statistics.histogram_high - statistics.histogram_low) / BINS)[1] - 1
    first = int(math.ldexp(statistics.histogram_low, -exponent))
    if (exponent, first) == (grid.exponent, grid.first):
        return statistics.histogram
    filled = np.flatnonzero(statistics.histogram)
    places = ((filled + first) >> (grid.exponent - exponent)) - grid.first
    moved = np.zeros(BINS, np.int64)
    np.add.at(moved, places, statistics.histogram[filled])
    return moved
