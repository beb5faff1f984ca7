"""From the values of a tensor to its statistics, fast: a few passes over pieces that stay in the processor's cache."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from optimizer.calibration.statistics import BINS, TensorStatistics, grid_of, merge_tensor

_PIECE: Final = 1 << 17
"""Elements of a piece: 512 KB of float32."""


class NotFiniteError(ValueError):
    """A tensor holds what it must not: NaN, or an infinity where none belongs."""


def observe(values: NDArray[np.generic], *, axis: int, times: int = 1) -> TensorStatistics | None:
    """Return the statistics of the values; None where there are none.

    Args:
        values: float16 or float32, any shape.
        axis: which axis holds the channels, from 0; passed over for a single number.
        times: how many rows the values stand for: more than 1 for a tensor that a batch of rows shares.

    Raises:
        NotFiniteError: one of the values is NaN.
    """
    if values.size == 0:
        return None
    shape = values.shape or (1,)
    axis = min(axis, len(shape) - 1)
    outer, channels, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    table = np.ascontiguousarray(values, dtype=np.float32).reshape(outer, channels, inner)
    return reduce(merge_tensor, (_observe_piece(piece, axis, times) for piece in _pieces(table)))


def _pieces(table: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    step = max(1, _PIECE // (table.shape[1] * table.shape[2]))
    for start in range(0, len(table), step):
        yield table[start : start + step]


def _observe_piece(piece: NDArray[np.float32], axis: int, times: int) -> TensorStatistics:
    """Return the statistics of a contiguous piece, shape (outer, channels, inner)."""
    lows, highs = piece.min(axis=0).min(axis=1), piece.max(axis=0).max(axis=1)
    low, high = float(lows.min()) + 0.0, float(highs.max()) + 0.0  # no -0.0, whose place among 0.0 is chance
    if math.isnan(low):
        raise NotFiniteError
    if math.isinf(low) or math.isinf(high):
        infinite = np.isinf(piece)
        finite = _observe_piece(np.where(infinite, np.float32(0), piece), axis, times)
        return dataclasses.replace(finite, infinite=int(np.count_nonzero(infinite)) * times)
    grid = grid_of(low, high)
    # widening by a power of two is exact in float32; narrowing may lose what lies below its smallest number
    scalable = piece if grid.exponent <= 0 else piece.astype(np.float64)
    bins = scalable * scalable.dtype.type(math.ldexp(1.0, -grid.exponent))
    np.floor(bins, out=bins)
    places = bins.astype(np.int64).reshape(-1)
    places -= grid.first
    return TensorStatistics(
        count=piece.size * times,
        low=low,
        high=high,
        histogram=np.bincount(places, minlength=BINS) * times,
        histogram_low=grid.low,
        histogram_high=grid.high,
        axis=axis,
        channel_peak=np.maximum(-lows, highs),
        channel_mean=piece.sum(axis=(0, 2), dtype=np.float64) / (piece.shape[0] * piece.shape[2]),
    )
