"""Drawing tensors, and comparing statistics for equality and not for nearness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.calibration.statistics import Statistics, TensorStatistics

_ANY = st.floats(width=32, allow_nan=False, allow_infinity=False)
_SMALL = st.sampled_from([0.0, 1e-6, -1e-6, 1.5e-6, 1e-38, -1e-38, 1e-45, 3.0]).map(
    lambda value: float(np.float32(value))
)
_USUAL = st.floats(min_value=-100, max_value=100, width=32)
CHANNELS = 3


def tables(*, max_rows: int = 12) -> st.SearchStrategy[NDArray[np.float32]]:
    """Return strategies of float32 tables, shape (rows, CHANNELS): usual values, and all that float32 can hold."""
    shapes = st.tuples(st.integers(1, max_rows), st.just(CHANNELS))
    return st.one_of([arrays(np.float32, shapes, elements=elements) for elements in (_USUAL, _SMALL, _ANY)])


def exact(statistics: TensorStatistics) -> dict[str, object]:
    """Return all that must be equal whatever the order and the batches: everything but the means."""
    return {
        "count": statistics.count,
        "range": (statistics.low, statistics.high),
        "edges": (statistics.histogram_low, statistics.histogram_high),
        "histogram": statistics.histogram.tolist(),
        "axis": statistics.axis,
        "infinite": statistics.infinite,
        "peak": statistics.channel_peak.tolist(),
    }


def exact_all(statistics: Statistics) -> dict[str, object]:
    """Return ``exact`` of every tensor, and the number of rows."""
    return {"rows": statistics.rows, **{name: exact(tensor) for name, tensor in statistics.tensors.items()}}


def means(statistics: Statistics) -> NDArray[np.float64]:
    """Return the channel means of all tensors in a row."""
    return np.concatenate([tensor.channel_mean for tensor in statistics.tensors.values()])
