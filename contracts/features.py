"""Taking the watched numbers from a batch: the optimizer's reference and the agent's windows use these lines.

Uses numpy, as ``contracts.preprocessing`` does (ADR 0002). Values are those the client sent, before
any preprocessing: an operator reads an alert in the units of the sensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contracts.errors import TensorError
from contracts.sketch import Feature, FeatureKind, FeatureSketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GRID = 4
PROBABILITY_SLACK = 0.05
"""How far from 1 a row of probabilities may sum: an int8 softmax rounds each class to 1/256."""


def feature_values(kind: FeatureKind, index: int, batch: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return one number for each row of the batch, float64, shape (n,).

    Args:
        kind: which number.
        index: the element (ELEMENT) or the grid cell (REGION); else unused.
        batch: shape (n, ...), as the client sent it.
    """
    exact = batch.astype(np.float64)
    rows = exact.reshape(len(batch), -1)
    values: NDArray[np.float64]
    if kind is FeatureKind.ELEMENT:
        values = rows[:, index]
    elif kind is FeatureKind.MEAN:
        values = rows.mean(axis=1)
    elif kind is FeatureKind.DEVIATION:
        values = rows.std(axis=1)
    elif kind is FeatureKind.EDGES:
        values = np.abs(np.diff(exact, axis=-1)).reshape(len(batch), -1).mean(axis=1)
    else:
        values = _region(exact, index)
    return values


def sketch_feature(values: NDArray[np.float64], edges: Sequence[float]) -> FeatureSketch:
    """Return counts and moments of the values under the edges; NaN counts as missing."""
    present = values[~np.isnan(values)]
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), present, side="right")
    counts = np.bincount(places, minlength=len(edges) + 1)
    mean = float(present.mean()) if present.size else 0.0
    return FeatureSketch(
        counts=tuple(int(count) for count in counts),
        missing=int(values.size - present.size),
        mean=mean,
        squares=float(((present - mean) ** 2).sum()),
    )


def feature_of(name: str, tensor: str, kind: FeatureKind, values: NDArray[np.float64], *, index: int = 0) -> Feature:
    """Return the feature with at most 15 quantile edges of the reference values and their sketch."""
    present = values[~np.isnan(values)]
    quantiles = np.quantile(present, np.linspace(0.0, 1.0, 17)[1:-1]) if present.size else np.zeros(1)
    edges = tuple(float(edge) for edge in np.unique(quantiles))
    return Feature(
        name=name, tensor=tensor, kind=kind, index=index, edges=edges, reference=sketch_feature(values, edges)
    )


def class_confidence(outputs: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each row's top class and its probability, shapes (n,).

    A row whose values lie in 0..1 and sum to 1 is taken as probabilities; any other row as logits,
    of which the softmax is taken. Decided row by row, so that the answer does not depend on how
    requests were batched. A row that holds NaN has confidence 0.

    Args:
        outputs: the model's first output, shape (n, classes), in real values.

    Raises:
        TensorError: the outputs are not one row of at least two classes for each input.
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise TensorError(f"outputs of shape {outputs.shape} are no classes: a classifier gives (n, classes)")
    exact = outputs.astype(np.float64)
    already = (exact >= 0.0).all(axis=1) & (exact <= 1.0).all(axis=1)
    already &= np.abs(exact.sum(axis=1) - 1.0) <= PROBABILITY_SLACK
    with np.errstate(invalid="ignore"):
        powers = np.exp(exact - exact.max(axis=1, keepdims=True))
        softmax = powers / powers.sum(axis=1, keepdims=True)
    classes = exact.argmax(axis=1)
    rows = np.arange(len(exact))
    confidences = np.where(already, exact[rows, classes], softmax[rows, classes])
    return classes, np.nan_to_num(confidences, nan=0.0)


def _region(batch: NDArray[np.float64], cell: int) -> NDArray[np.float64]:
    height, width = batch.shape[-2], batch.shape[-1]
    row, column = divmod(cell, GRID)
    top, bottom = row * height // GRID, max((row + 1) * height // GRID, row * height // GRID + 1)
    left, right = column * width // GRID, max((column + 1) * width // GRID, column * width // GRID + 1)
    means: NDArray[np.float64] = batch[..., top:bottom, left:right].reshape(len(batch), -1).mean(axis=1)
    return means
