"""What a tensor inside a model looked like over the calibration rows: the one account that every pass reads.

A ``TensorStatistics`` never grows with the number of rows. Merging two of the same tensor gives what one
run over both sets of rows would have given (exactly for ranges, counts and sums; the histogram is moved to wider edges by whole bins).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStatistics:
    """One float tensor over all rows seen.

    Attributes:
        count: how many elements were seen.
        low: the smallest of them.
        high: the largest of them.
        histogram: int64, shape (BINS,), elements by bin between ``histogram_low`` and ``histogram_high``.
        histogram_low: left edge of the first bin; at most ``low``.
        histogram_high: right edge of the last bin; at least ``high``.
        axis: which axis holds the channels (1 where a convolution reads the tensor, else the last).
        channel_peak: float32, shape (channels,), largest absolute value of each channel.
        channel_mean: float64, shape (channels,), mean of each channel.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Every float tensor of one ONNX model (inputs, what each operation gives, outputs), by name, over ``rows`` rows."""

    rows: int
    tensors: Mapping[str, TensorStatistics]
