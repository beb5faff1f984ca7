"""Quantities: root mean squared error against targets, or relative to the original where there are none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import MetricError
from optimizer.metrics.fidelity import Answers, Fidelity, Labels, output_of
from optimizer.metrics.interval import Z95, Interval, around, around_positive, standard_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Rmse:
    """Root mean squared error against the targets; the drop is its rise relative to the original's.

    The interval is of the ratio of the two, by the delta method on the paired squared errors.
    """

    output: str = ""
    name: ClassVar[str] = "rmse"

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return the relative rise of the error; see ``Metric``."""
        theirs = output_of(reference, self.output)
        truth = targets(labels, theirs, metric=self.name)
        mine = squared_errors(output_of(answers, self.output), truth)
        before = squared_errors(theirs, truth)
        value, original = math.sqrt(mine.mean()), math.sqrt(before.mean())
        scale = original or float(truth.std()) or 1.0
        return Fidelity(
            metric=self.name,
            n=len(mine),
            value=value,
            original=original,
            drop=rise(mine, before, scale),
            unit="%",
            scale=-scale,
            others={},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeError:
    """Root mean squared difference from the original, relative to the spread of the original's answers.

    Over every served output, each by its own spread, or over the named one; needs no labels.
    """

    output: str = ""
    name: ClassVar[str] = "relative_error"

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return the error relative to the original; see ``Metric``."""
        del labels
        names = (self.output,) if self.output else tuple(reference)
        errors, spreads = zip(*(_relative_squares(answers[name], reference[name]) for name in names), strict=True)
        rows = np.mean(errors, axis=0)
        value = math.sqrt(rows.mean())
        # by the delta method, the spread being estimated from the same rows
        doubts = np.mean([one - one.mean() * spread for one, spread in zip(errors, spreads, strict=True)], axis=0)
        error = standard_error(doubts) / (2 * value) if value else 0.0
        return Fidelity(
            metric=self.name,
            n=len(rows),
            value=value,
            original=0.0,
            drop=around_positive(value, error),
            unit="%",
            scale=-1.0,
            others={},
        )


def targets(labels: Labels, reference: NDArray[np.float32], *, metric: str) -> NDArray[np.float32]:
    """Return the targets in the shape of the output.

    Raises:
        MetricError: there are none, or not as many as the output has numbers.
    """
    if labels is None:
        raise MetricError(f"{metric} needs targets; add a label to the holdout rows, or name no metric")
    if labels.size != reference.size:
        raise MetricError(
            f"{metric} needs a target for each number of the output: labels {labels.shape}, output {reference.shape}; "
            "give targets of the output's shape, or class indices where the output has a number for each class"
        )
    return labels.astype(np.float32).reshape(reference.shape)


def squared_errors(answers: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean squared error of each row, shape (n,)."""
    errors = answers.astype(np.float64) - truth.astype(np.float64)
    squares: NDArray[np.float64] = (errors**2).reshape(len(answers), -1).mean(axis=1)
    return squares


def _relative_squares(
    answers: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each row's squared error and its part in the output's variance, both relative to that; shape (n,).

    An output that never varies is measured by its size.
    """
    middle = np.zeros_like(reference) + reference.mean(dtype=np.float64)
    parts = squared_errors(reference, middle)
    if not parts.any():
        parts = squared_errors(reference, np.zeros_like(reference))
    variance = float(parts.mean()) or 1.0
    return squared_errors(answers, reference) / variance, parts / variance


def rise(mine: NDArray[np.float64], before: NDArray[np.float64], scale: float) -> Interval:
    """Return the relative rise of the root mean; its interval is symmetric in the logarithm of the ratio."""
    after, start = float(mine.mean()), float(before.mean())
    value = (math.sqrt(after) - math.sqrt(start)) / scale
    if not after or not start:
        return around(value, standard_error(mine - before) / (math.sqrt(after + start) or 1.0) / scale)
    half = Z95 * standard_error(mine / after - before / start) / 2
    ratio = math.sqrt(after / start)
    return Interval(value=value, low=ratio * math.exp(-half) - 1, high=ratio * math.exp(half) - 1)
