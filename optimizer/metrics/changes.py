"""What changed from the original to a candidate: which rows, which classes, and at which sizes of the target.

Everything is of one output. Where the metric reads classes an answer changes when the top class does;
elsewhere every answer moves, and the rows that moved most are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.metrics.classes import cut_of, top_class
from optimizer.metrics.fidelity import Labels
from optimizer.metrics.interval import Interval, paired_drop
from optimizer.metrics.quantities import rise, squared_errors

_BINS = 5
_FEWEST_PER_BIN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    """One holdout row, by its place, with its answer before and after, and its label.

    Classes are whole numbers; of a row of several quantities it is the one that moved most. ``label`` is
    None where the row has none, or one of another kind. ``error`` is the largest absolute difference.
    """

    place: int
    before: float
    after: float
    label: float | None
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassChange:
    """One class: the share of its ``n`` rows that the original and the candidate get right, and what is lost."""

    label: int
    n: int
    original: float
    candidate: float
    drop: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """``count`` rows that the original puts in one class and the candidate in another."""

    before: int
    after: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileChange:
    """The ``n`` rows with targets from ``low`` to ``high``: both root mean squared errors, and the relative rise."""

    low: float
    high: float
    n: int
    original: float
    candidate: float
    drop: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All of it: ``count`` of ``n`` rows changed their class (None where rows have none); ``rows`` are some of them.

    ``classes`` and ``moves`` are those of classes, ``quantiles`` of quantities; what does not apply is empty.
    """

    n: int
    count: int | None
    rows: tuple[ChangedRow, ...]
    classes: tuple[ClassChange, ...]
    moves: tuple[Move, ...]
    quantiles: tuple[QuantileChange, ...]


def class_changes(
    answers: NDArray[np.float32], reference: NDArray[np.float32], labels: Labels, *, most: int = 12
) -> Changes:
    """Return what changed between top classes.

    Args:
        answers: the candidate's output, shape (n, ...).
        reference: the original's, same shape.
        labels: class indices; without them a class is what the original says.
        most: how many rows to name; those that were right come first, then those that moved most.
    """
    cut = cut_of(reference)
    before, after = top_class(reference, cut=cut), top_class(answers, cut=cut)
    truth = before if labels is None else labels.reshape(-1).astype(np.int64)
    errors = _errors(answers, reference)
    places = np.flatnonzero(before != after)
    order = sorted(places, key=lambda place: (before[place] != truth[place], -errors[place], place))
    rows = tuple(
        ChangedRow(
            place=int(place),
            before=float(before[place]),
            after=float(after[place]),
            label=None if labels is None else float(truth[place]),
            error=float(errors[place]),
        )
        for place in order[:most]
    )
    classes = tuple(_one_class(int(label), truth, before=before, after=after) for label in np.unique(truth))
    return Changes(
        n=len(before), count=len(places), rows=rows, classes=classes, moves=_moves(before, after), quantiles=()
    )


def quantity_changes(
    answers: NDArray[np.float32], reference: NDArray[np.float32], labels: Labels, *, most: int = 12
) -> Changes:
    """Return what changed between quantities.

    Args:
        answers: the candidate's output, shape (n, ...).
        reference: the original's, same shape.
        labels: targets of the output's shape; of any other, or without them, errors are from the original.
        most: how many rows to name, those that moved most.
    """
    known = None if labels is None or labels.size != reference.size else labels.astype(np.float32)
    truth = None if known is None else known.reshape(reference.shape)
    errors = _errors(answers, reference)
    order = np.argsort(-errors, kind="stable")[:most]
    rows = tuple(_one_row(int(place), answers, reference, truth) for place in order if errors[place] > 0)
    quantiles = () if truth is None else _quantiles(answers, reference, truth)
    return Changes(n=len(reference), count=None, rows=rows, classes=(), moves=(), quantiles=quantiles)


def _errors(answers: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the largest absolute difference of each row, shape (n,)."""
    errors = np.abs(answers.astype(np.float64) - reference.astype(np.float64)).reshape(len(answers), -1)
    largest: NDArray[np.float64] = np.where(np.isfinite(errors), errors, 0.0).max(axis=1)
    return largest


def _one_class(
    label: int, truth: NDArray[np.int64], *, before: NDArray[np.int64], after: NDArray[np.int64]
) -> ClassChange:
    own = truth == label
    was_right, is_right = before[own] == label, after[own] == label
    return ClassChange(
        label=label,
        n=int(own.sum()),
        original=float(was_right.mean()),
        candidate=float(is_right.mean()),
        drop=paired_drop(was_right, is_right),
    )


def _moves(before: NDArray[np.int64], after: NDArray[np.int64]) -> tuple[Move, ...]:
    changed = before != after
    pairs, counts = np.unique(np.stack([before[changed], after[changed]], axis=1), axis=0, return_counts=True)
    found = [
        Move(before=int(pair[0]), after=int(pair[1]), count=int(count))
        for pair, count in zip(pairs, counts, strict=True)
    ]
    return tuple(sorted(found, key=lambda move: (-move.count, move.before, move.after)))


def _one_row(
    place: int, answers: NDArray[np.float32], reference: NDArray[np.float32], truth: NDArray[np.float32] | None
) -> ChangedRow:
    after, before = answers[place].reshape(-1), reference[place].reshape(-1)
    errors = np.abs(after.astype(np.float64) - before.astype(np.float64))
    most = int(np.nanargmax(np.where(np.isfinite(errors), errors, 0.0)))
    return ChangedRow(
        place=place,
        before=float(before[most]),
        after=float(after[most]),
        label=None if truth is None else float(truth[place].reshape(-1)[most]),
        error=float(errors[most]),
    )


def _quantiles(
    answers: NDArray[np.float32], reference: NDArray[np.float32], truth: NDArray[np.float32]
) -> tuple[QuantileChange, ...]:
    """Return the errors by fifths of the target (its mean, of a row of several); fewer where rows are few."""
    sizes = truth.reshape(len(truth), -1).mean(axis=1)
    bins = max(1, min(_BINS, len(sizes) // _FEWEST_PER_BIN))
    parts = np.array_split(np.argsort(sizes, kind="stable"), bins)
    return tuple(_one_quantile(part, sizes, answers=answers, reference=reference, truth=truth) for part in parts)


def _one_quantile(
    part: NDArray[np.int64],
    sizes: NDArray[np.float32],
    *,
    answers: NDArray[np.float32],
    reference: NDArray[np.float32],
    truth: NDArray[np.float32],
) -> QuantileChange:
    mine, before = squared_errors(answers[part], truth[part]), squared_errors(reference[part], truth[part])
    original = float(np.sqrt(before.mean()))
    return QuantileChange(
        low=float(sizes[part[0]]),
        high=float(sizes[part[-1]]),
        n=len(part),
        original=original,
        candidate=float(np.sqrt(mine.mean())),
        drop=rise(mine, before, original or 1.0),
    )
