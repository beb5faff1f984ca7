"""An estimate with its 95 % interval, and how one is made from rows that went through both models.

Differences are paired (the same rows went through both), so their interval is narrower than that of
two separate figures. ``tests/optimizer/metrics/test_coverage.py`` checks each by simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


def around(value: float, error: float) -> Interval:
    """Return value ± 1.96 standard errors."""
    return Interval(value=value, low=value - Z95 * error, high=value + Z95 * error)


def around_positive(value: float, error: float) -> Interval:
    """Return the interval of a mean that is nowhere below 0, symmetric in its logarithm.

    Distances have a long tail upwards: the interval reaches further up than down.
    """
    factor = math.exp(Z95 * error / value) if value > 0 else 1.0
    return Interval(value=value, low=value / factor, high=value * factor)


def paired_drop(reference_right: NDArray[np.bool_], answer_right: NDArray[np.bool_]) -> Interval:
    """Return the accuracy lost, with the 95 % interval of Bonett and Price (2012) for paired shares.

    Args:
        reference_right: whether the original was right, shape (n,).
        answer_right: whether the candidate was right, shape (n,).
    """
    n = len(reference_right)
    lost = int(np.count_nonzero(reference_right & ~answer_right))
    won = int(np.count_nonzero(~reference_right & answer_right))
    share_lost, share_won = (lost + 1) / (n + 2), (won + 1) / (n + 2)
    middle = share_lost - share_won
    half = Z95 * math.sqrt((share_lost + share_won - middle**2) / (n + 2))
    value = (lost - won) / n
    return Interval(value=value, low=min(value, middle - half), high=max(value, middle + half))


def share_missing(held: NDArray[np.bool_], *, clumping: float = 1.0) -> Interval:
    """Return the share of rows that do not hold, with Wilson's (1927) 95 % interval.

    For what can only be lost: the original agrees with itself in every row.

    Args:
        held: whether the row holds, shape (n,).
        clumping: how many rows count as one because they change together, from 1.
    """
    n = len(held) / clumping
    value = float(np.count_nonzero(~held)) / len(held)
    spread = Z95**2 / n
    middle = (value + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * math.sqrt(value * (1 - value) / n + spread / n / 4)
    return Interval(value=value, low=max(min(value, middle - half), 0.0), high=max(value, middle + half))


def standard_error(rows: NDArray[np.float64]) -> float:
    """Return the standard error of the rows' mean; 0 for a single row, which shows no spread."""
    return float(rows.std(ddof=1)) / math.sqrt(len(rows)) if len(rows) > 1 else 0.0
