"""Which metric judges a data set: by name, or by what the data can carry."""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import MetricError
from optimizer.metrics.classes import Accuracy, Agreement, are_classes, class_labels, top_class
from optimizer.metrics.embeddings import Cosine, Neighbours, are_embeddings
from optimizer.metrics.fidelity import output_of
from optimizer.metrics.quantities import RelativeError, Rmse, targets
from optimizer.metrics.ranking import Auc
from optimizer.metrics.user_metric import user_metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optimizer.metrics.fidelity import Answers, Labels, Metric

METRICS: Final[Mapping[str, Callable[..., Metric]]] = MappingProxyType(
    {kind.name: kind for kind in (Accuracy, Auc, Rmse, Cosine, Neighbours, Agreement, RelativeError)}
)
"""The metrics that have a name of their own."""


def choose_metric(name: str, reference: Answers, labels: Labels, *, output: str = "", seed: int = 0) -> Metric:
    """Return the metric of that name, or the one that the data can carry for an empty name.

    Class indices are judged by accuracy, targets by RMSE. Without labels: embeddings (rows of length
    one) by cosine, classes by agreement with the original, all else by the error relative to it.

    Args:
        name: one of ``METRICS``, ``module:function``, ``file.py:function``, or nothing.
        reference: the original's answers, every served output.
        labels: class indices or targets; None where there are none.
        output: the served output to judge; empty for the first (a user's function sees all).
        seed: of the rows that a user's function is resampled on.

    Raises:
        MetricError: no such metric or output, or one that these labels and answers cannot carry.
    """
    if output and output not in reference:
        raise MetricError(f"there is no output {output!r}{_nearest(output, tuple(reference))}")
    if ":" in name:
        return user_metric(name, seed=seed)
    if name and name not in METRICS:
        raise MetricError(f"there is no metric {name!r}{_nearest(name, (*METRICS, 'module:function'))}")
    metric = METRICS[name](output=output) if name else _by_the_data(reference, labels, output)
    first = output_of(reference, output)
    if isinstance(metric, (Accuracy, Auc)):
        class_labels(labels, first, metric=metric.name)
    if isinstance(metric, Rmse):
        targets(labels, first, metric=metric.name)
    return metric


def _by_the_data(reference: Answers, labels: Labels, output: str) -> Metric:
    first = output_of(reference, output)
    if labels is not None:
        return Accuracy(output=output) if _name_classes(labels, first) else Rmse(output=output)
    if are_embeddings(first):
        return Cosine(output=output)
    return Agreement(output=output) if _tells_classes_apart(first) else RelativeError(output=output)


def _name_classes(labels: NDArray[np.generic], first: NDArray[np.float32]) -> bool:
    """Return whether the labels are classes: by their type, or whole numbers where a row has other than one number.

    One number for a row and whole labels beyond 0 and 1 are a quantity (an age, a count).
    """
    single = first.size == len(first)
    whole = np.array_equal(labels, labels.astype(np.int64))
    if single:
        return whole and bool(np.isin(labels, (0, 1)).all())
    return are_classes(labels) or (whole and labels.size == len(first))


def _tells_classes_apart(first: NDArray[np.float32]) -> bool:
    """Return whether rows have one number a class and differ in their top class, so that agreement says something."""
    return first.ndim == 2 and first.shape[1] > 1 and len(np.unique(top_class(first))) > 1


def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f", the nearest is {near[0]!r}" if near else f"; choose one of {', '.join(known)}"
