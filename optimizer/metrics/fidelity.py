"""How far a candidate is from the original, on the same rows, with the interval that n allows.

Three measures, by what the data can carry: top-1 accuracy where there are labels; agreement with
the original's top class where there are none; RMSE where outputs are quantities. Differences are
paired (the same rows went through both), so their interval is narrower than that of two accuracies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

_Z95 = 1.959964


class Metric(StrEnum):
    """What "as good as the original" means for this data."""

    ACCURACY = "accuracy"
    """Share of rows whose top class is the label."""
    AGREEMENT = "agreement"
    """Share of rows whose top class is the original's."""
    RMSE = "rmse"
    """Root of the mean squared error against the targets (against the original without them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """A candidate's answers beside the original's on ``n`` holdout rows.

    ``value`` and ``original`` are the metric of the candidate and of the original; ``drop`` is how
    much worse the candidate is, as a share: accuracy lost, agreement missing, or RMSE risen
    relative to the original's. ``worst_error`` is the largest absolute difference of any output.
    """

    metric: Metric
    n: int
    value: float
    original: float
    drop: Interval
    agreement: float
    worst_error: float

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy, 0 to 1; None where the data has no labels."""
        return self.value if self.metric is Metric.ACCURACY else None

    @property
    def unit(self) -> str:
        """Unit of 100 x ``drop``."""
        return "%" if self.metric is Metric.RMSE else "points"


def compare(
    answers: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.generic] | None
) -> Fidelity:
    """Return how far the answers are from the reference.

    Args:
        answers: the candidate's first output, shape (n, ...).
        reference: the original's, same shape.
        labels: class indices (integers) or targets (floats), shape (n,) or the output's; None
            where there are none.
    """
    if labels is not None and np.issubdtype(labels.dtype, np.integer):
        return _by_class(answers, reference, labels.astype(np.int64).reshape(-1))
    if is_classifier(reference) and labels is None:
        return _by_class(answers, reference, None)
    return _by_error(answers, reference, labels)


def is_classifier(outputs: NDArray[np.float32]) -> bool:
    """Return whether a row of the outputs has one number a class (two or more)."""
    return outputs.ndim == 2 and outputs.shape[1] > 1


def resolution_note(fidelity: Fidelity, max_drop: float | None) -> str | None:
    """Return the sentence to print where n cannot tell whether the budget holds; else None."""
    drop = fidelity.drop
    if max_drop is None or not drop.low <= max_drop < drop.high:
        return None
    half_width = (drop.high - drop.low) / 2
    room = max(abs(max_drop - drop.value), max_drop / 2, 1e-4)
    wanted = math.ceil(fidelity.n * (half_width / room) ** 2 / 50) * 50
    return (
        f"{fidelity.n} holdout rows cannot resolve a drop of {100 * max_drop:g} {fidelity.unit}: the 95 % interval of "
        f"the paired difference reaches from {100 * drop.low:.2f} to {100 * drop.high:.2f}; about {wanted:,} rows would"
    )


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
    half = _Z95 * math.sqrt((share_lost + share_won - middle**2) / (n + 2))
    value = (lost - won) / n
    return Interval(value=value, low=min(value, middle - half), high=max(value, middle + half))


def _by_class(
    answers: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.int64] | None
) -> Fidelity:
    top, reference_top = top_class(answers), top_class(reference)
    truth = reference_top if labels is None else labels
    right, reference_right = top == truth, reference_top == truth
    return Fidelity(
        metric=Metric.AGREEMENT if labels is None else Metric.ACCURACY,
        n=len(answers),
        value=float(right.mean()),
        original=float(reference_right.mean()),
        drop=paired_drop(reference_right, right),
        agreement=float((top == reference_top).mean()),
        worst_error=_worst(answers, reference),
    )


def _by_error(
    answers: NDArray[np.float32], reference: NDArray[np.float32], targets: NDArray[np.generic] | None
) -> Fidelity:
    truth = reference if targets is None else targets.astype(np.float32).reshape(reference.shape)
    mine, theirs = _row_errors(answers, truth), _row_errors(reference, truth)
    spread = float(np.sqrt(theirs.mean())) if targets is not None else float(reference.std())
    return Fidelity(
        metric=Metric.RMSE,
        n=len(answers),
        value=float(np.sqrt(mine.mean())),
        original=float(np.sqrt(theirs.mean())),
        drop=_relative_rise(mine, theirs, spread or 1.0),
        agreement=float(np.isclose(answers, reference, rtol=0.01, atol=0.01 * (float(reference.std()) or 1.0)).mean()),
        worst_error=_worst(answers, reference),
    )


def _relative_rise(mine: NDArray[np.float64], theirs: NDArray[np.float64], spread: float) -> Interval:
    """Return (RMSE - original's RMSE) / spread; its interval from the paired squared errors (delta method)."""
    value = (math.sqrt(mine.mean()) - math.sqrt(theirs.mean())) / spread
    middle = (math.sqrt(mine.mean()) + math.sqrt(theirs.mean())) or 1.0
    half = _Z95 * float((mine - theirs).std(ddof=1)) / math.sqrt(len(mine)) / middle / spread if len(mine) > 1 else 0.0
    return Interval(value=value, low=value - half, high=value + half)


def _row_errors(answers: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = ((answers - truth).astype(np.float64) ** 2).reshape(len(answers), -1).mean(axis=1)
    return squares


def top_class(outputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the place of the largest output of each row; of a single output, whether it is above one half."""
    rows = outputs.reshape(len(outputs), -1)
    if rows.shape[1] == 1:
        return (rows[:, 0] > 0.5).astype(np.int64)
    best: NDArray[np.int64] = rows.argmax(axis=1).astype(np.int64)
    return best


def _worst(answers: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    return float(np.abs(answers.astype(np.float64) - reference.astype(np.float64)).max(initial=0.0))
