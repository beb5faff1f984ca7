"""Ranking: the area under the ROC curve, of two classes or one against the rest, averaged over the classes.

The paired interval is DeLong's (1988), from Sun and Xu's (2014) midranks: each row's part in the area is
kept, so the variance of the difference is that of the rows' differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import MetricError
from optimizer.metrics.classes import class_labels, same_class
from optimizer.metrics.fidelity import Answers, Fidelity, Labels, output_of
from optimizer.metrics.interval import around


@dataclass(frozen=True, slots=True, kw_only=True)
class Auc:
    """Area under the ROC curve; of more than two classes the mean over each against the rest."""

    output: str = ""
    name: ClassVar[str] = "auc"

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return the area lost; see ``Metric``.

        Raises:
            MetricError: no labels, or fewer than two rows of some two classes.
        """
        mine, theirs = output_of(answers, self.output), output_of(reference, self.output)
        truth = class_labels(labels, theirs, metric=self.name)
        as_odds = not _are_probabilities(theirs)
        before, before_parts = mean_area(_scores(theirs, as_odds=as_odds), truth)
        value, parts = mean_area(_scores(mine, as_odds=as_odds), truth)
        return Fidelity(
            metric=self.name,
            n=len(truth),
            value=value,
            original=before,
            drop=around(before - value, math.sqrt(float(((before_parts - parts) ** 2).sum()))),
            unit="points",
            others={"agreement": float(same_class(mine, theirs).mean())},
        )


def mean_area(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return the mean area over the classes that can be told apart, and each row's part in its error, shape (n,).

    The sum of the squared parts is DeLong's variance of the area.

    Args:
        scores: one column for each class; a single one is that of class 1.
        truth: class indices, shape (n,).

    Raises:
        MetricError: no class has two rows in it and two outside.
    """
    classes = [1] if scores.shape[1] == 1 else range(scores.shape[1])
    found = [
        _area(scores[:, place], truth == known)
        for place, known in enumerate(classes)
        if min(np.count_nonzero(truth == known), np.count_nonzero(truth != known)) > 1
    ]
    if not found:
        raise MetricError("auc needs at least two rows of each of two classes; add rows to the holdout split")
    return float(np.mean([area for area, _ in found])), np.mean([parts for _, parts in found], axis=0)


def _area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    inside, outside = scores[positive], scores[~positive]
    m, n = len(inside), len(outside)
    ranks = _midranks(scores)
    beaten = (ranks[positive] - _midranks(inside)) / n
    beating = 1 - (ranks[~positive] - _midranks(outside)) / m
    area = float(beaten.mean())
    parts = np.empty(len(scores))
    parts[positive] = (beaten - area) / math.sqrt(m * (m - 1))
    parts[~positive] = (beating - area) / math.sqrt(n * (n - 1))
    return area, parts


def _midranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each score's rank from 1; equal scores share the middle of theirs."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places.reshape(-1)]
    return ranks


def _are_probabilities(outputs: NDArray[np.float32]) -> bool:
    rows = outputs.reshape(len(outputs), -1)
    return bool((rows >= 0).all() and np.allclose(rows.sum(axis=1), 1.0, atol=1e-2))


def _scores(outputs: NDArray[np.float32], *, as_odds: bool) -> NDArray[np.float64]:
    """Return what ranks the rows: one column for two classes, else the softmax of logits or the probabilities."""
    rows = outputs.reshape(len(outputs), -1).astype(np.float64)
    if rows.shape[1] <= 2:
        return rows[:, -1:] - rows[:, :-1] if rows.shape[1] == 2 else rows
    if not as_odds:
        return rows
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    softmax: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return softmax
