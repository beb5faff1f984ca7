"""Classes: the share of rows whose top class is the label (accuracy), or the original's (agreement)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import MetricError
from optimizer.metrics.fidelity import Answers, Fidelity, Labels, output_of
from optimizer.metrics.interval import paired_drop, share_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of rows whose top class is the label; the drop by Bonett and Price's paired interval."""

    output: str = ""
    name: ClassVar[str] = "accuracy"

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return the accuracy lost; see ``Metric``."""
        theirs = output_of(reference, self.output)
        truth = class_labels(labels, theirs, metric=self.name)
        cut = cut_of(theirs)
        top, reference_top = top_class(output_of(answers, self.output), cut=cut), top_class(theirs, cut=cut)
        right, reference_right = top == truth, reference_top == truth
        return Fidelity(
            metric=self.name,
            n=len(truth),
            value=float(right.mean()),
            original=float(reference_right.mean()),
            drop=paired_drop(reference_right, right),
            unit="points",
            others={"agreement": float((top == reference_top).mean())},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Share of rows whose top class is the original's; needs no labels."""

    output: str = ""
    name: ClassVar[str] = "agreement"

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return the agreement that is missing; see ``Metric``."""
        del labels
        theirs = output_of(reference, self.output)
        same = same_class(output_of(answers, self.output), theirs)
        return Fidelity(
            metric=self.name,
            n=len(same),
            value=float(same.mean()),
            original=1.0,
            drop=share_missing(same),
            unit="points",
            others={"agreement": float(same.mean())},
        )


def top_class(outputs: NDArray[np.float32], *, cut: float = 0.5) -> NDArray[np.int64]:
    """Return the place of the largest output of each row; of a single output, whether it is above the cut."""
    rows = outputs.reshape(len(outputs), -1)
    if rows.shape[1] == 1:
        return (rows[:, 0] > cut).astype(np.int64)
    best: NDArray[np.int64] = rows.argmax(axis=1).astype(np.int64)
    return best


def cut_of(reference: NDArray[np.float32]) -> float:
    """Return where a single output parts two classes: 0.5 where the original gives probabilities, 0 for logits.

    Decided by the original's answers alone, so that a candidate is cut where the original is.
    """
    return 0.5 if bool(((reference >= 0) & (reference <= 1)).all()) else 0.0


def same_class(answers: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether the top class is the original's, shape (n,)."""
    cut = cut_of(reference)
    same: NDArray[np.bool_] = top_class(answers, cut=cut) == top_class(reference, cut=cut)
    return same


def are_classes(labels: NDArray[np.generic]) -> bool:
    """Return whether the labels are class indices by their type: integers or true and false."""
    return np.issubdtype(labels.dtype, np.integer) or labels.dtype == np.bool_


def class_count(reference: NDArray[np.float32]) -> int:
    """Return how many classes the output tells apart: one number a class, or one number for two."""
    return max(int(np.prod(reference.shape[1:])), 2)


def class_labels(labels: Labels, reference: NDArray[np.float32], *, metric: str) -> NDArray[np.int64]:
    """Return the labels as class indices, shape (n,).

    Raises:
        MetricError: there are none, they are no whole numbers, not one a row, or no classes of this output.
    """
    if labels is None:
        raise MetricError(f"{metric} needs labels; add a label to the holdout rows, or choose agreement")
    whole = labels.reshape(-1)
    if not are_classes(labels) and not np.array_equal(whole, whole.astype(np.int64)):
        raise MetricError(f"{metric} needs class indices, the labels are quantities such as {whole[0]}; choose rmse")
    if len(whole) != len(reference):
        raise MetricError(
            f"{metric} needs one label a row: {labels.shape} labels for {len(reference)} rows; give class indices"
        )
    indices = whole.astype(np.int64)
    low, high, classes = int(indices.min()), int(indices.max()), class_count(reference)
    if low < 0 or high >= classes:
        raise MetricError(
            f"{metric}: the labels are {low} to {high}, but the output has shape {reference.shape}, {classes} classes; "
            "give class indices from 0, or floats where the output is a quantity"
        )
    return indices
