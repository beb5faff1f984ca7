"""How far a candidate is from the original, on the same rows, with the interval that n allows.

A ``Metric`` judges a candidate's answers beside the original's; ``compare`` first refuses answers
that are no numbers, so that no metric passes a broken model. ``resolution_note`` says in words where
n cannot tell whether the budget holds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import MeasureFailed
from optimizer.metrics.interval import Z95, Interval

Answers: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Every served output by name, shape (n, ...)."""
Labels: TypeAlias = NDArray[np.generic] | None
"""Class indices or targets, n of them; None where the data has none."""

_POWER = 0.84
"""The normal quantile of 80 %: with the rows that the note names, four of five draws resolve the budget."""
_MOST_ROWS = 10_000_000
_PER_CENT: Final = frozenset({"accuracy", "agreement", "neighbours"})
_TITLES: Final = MappingProxyType(
    {"rmse": "RMSE", "auc": "AUC", "relative_error": "relative error", "neighbours": "same neighbour"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """A candidate's answers beside the original's on ``n`` holdout rows.

    ``value`` and ``original`` are the metric of the candidate and of the original. ``drop`` is how
    much worse the candidate is, as a share: (original - value) / scale. ``scale`` is 1 where the
    metric is itself a share, negative where less is better; ``unit`` is that of 100 x drop, points
    or %. ``others`` are further figures by name: ``worst_error`` (the largest absolute difference of
    any output), and ``agreement``, ``cosine``, ``neighbours`` and such where they make sense.
    """

    metric: str
    n: int
    value: float
    original: float
    drop: Interval
    unit: str
    scale: float = 1.0
    others: Mapping[str, float]

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy, 0 to 1; None where that is not the metric."""
        return self.value if self.metric == "accuracy" else None

    @property
    def of_classes(self) -> bool:
        """Whether the metric reads the first output as classes."""
        return "agreement" in self.others

    @property
    def higher_is_better(self) -> bool:
        """Whether the metric falls, not rises, as answers get worse."""
        return self.scale > 0

    @property
    def title(self) -> str:
        """The metric's name as people write it: ``RMSE``, ``accuracy``."""
        return _TITLES.get(self.metric, self.metric)

    @property
    def change(self) -> str:
        """What a drop does to the metric: ``accuracy falls``, ``RMSE rises``."""
        return f"{self.title} {'falls' if self.higher_is_better else 'rises'}"

    def value_at(self, drop: float) -> float:
        """Return the metric of a candidate that is worse by ``drop``, a share."""
        return self.original - drop * self.scale

    def in_words(self, value: float) -> str:
        """Return a value of this metric as tables show it: ``91.20 %``, ``0.9983``."""
        return f"{100 * value:.2f} %" if self.metric in _PER_CENT else f"{value:.4g}"


class Metric(Protocol):
    """What "as good as the original" means for a data set. Implementations hold no rows of it."""

    @property
    def name(self) -> str:
        """The word that chooses it: ``accuracy``, ``module:function``."""

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return how far the answers are from the reference; both hold the same outputs and rows.

        Raises:
            MetricError: the answers or labels have no form that this metric reads.
        """


def compare(answers: Answers, reference: Answers, labels: Labels, metric: Metric) -> Fidelity:
    """Return how far the answers are from the reference.

    Args:
        answers: every served output of the candidate, shape (n, ...).
        reference: the original's, same names and shapes.
        labels: class indices or targets of the n rows; None where there are none.
        metric: what decides.

    Raises:
        MeasureFailed: an output is missing, has another shape, or holds no finite numbers where the original does.
        MetricError: the answers or labels have no form that the metric reads.
    """
    for name, expected in reference.items():
        _check(name, answers.get(name), expected)
    fidelity = metric.judge(answers, reference, labels)
    if not all(map(math.isfinite, (fidelity.value, fidelity.drop.value, fidelity.drop.high))):
        raise MeasureFailed(
            f"{metric.name} comes to {fidelity.value:g} (original {fidelity.original:g}), no finite figure; "
            "look at the original's answers, or choose another metric"
        )
    worst = max(worst_error(answers[name], expected) for name, expected in reference.items())
    return dataclasses.replace(fidelity, others={**fidelity.others, "worst_error": worst})


def output_of(answers: Answers, name: str) -> NDArray[np.float32]:
    """Return the named output, or the first for an empty name."""
    return answers[name or next(iter(answers))]


def worst_error(answers: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Return the largest absolute difference, of the values that are finite in both."""
    known = np.isfinite(reference) & np.isfinite(answers)
    errors = np.abs(answers[known].astype(np.float64) - reference[known].astype(np.float64))
    return float(errors.max(initial=0.0))


def resolution_note(fidelity: Fidelity, max_drop: float | None) -> str | None:
    """Return the sentence to print where n cannot tell whether the budget holds; else None.

    The n that would is for a true drop as large as the measured one: then four of five draws of that
    many rows give an interval on one side of the budget.
    """
    drop = fidelity.drop
    if max_drop is None or not drop.low <= max_drop < drop.high:
        return None
    unit = "point" if fidelity.unit == "points" and max_drop == 0.01 else fidelity.unit
    return (
        f"n = {fidelity.n} cannot resolve a drop of {100 * max_drop:g} {unit}: the 95 % interval of the paired "
        f"difference reaches from {100 * drop.low:+.2f} to {100 * drop.high:+.2f} {fidelity.unit}; "
        f"{_wanted_in_words(rows_to_resolve(fidelity, max_drop))}"
    )


def rows_to_resolve(fidelity: Fidelity, max_drop: float) -> int | None:
    """Return how many rows would resolve the budget in four of five draws; None where no practical number would."""
    room = abs(max_drop - fidelity.drop.value)
    half_width = (fidelity.drop.high - fidelity.drop.low) / 2
    if room * math.sqrt(_MOST_ROWS / fidelity.n) <= half_width * (Z95 + _POWER) / Z95:
        return None
    wanted = fidelity.n * (half_width * (Z95 + _POWER) / Z95 / room) ** 2
    return max(math.ceil(wanted / 50) * 50, fidelity.n + 1)


def _wanted_in_words(wanted: int | None) -> str:
    if wanted is None:
        return "the measured drop lies at the budget itself, where no practical number of rows would"
    return f"about {wanted:,} rows would"


def _check(name: str, answers: NDArray[np.float32] | None, reference: NDArray[np.float32]) -> None:
    if answers is None or answers.shape != reference.shape:
        given = "is missing" if answers is None else f"has shape {answers.shape}"
        raise MeasureFailed(f"output {name!r} {given}, the original's has {reference.shape}; they cannot be compared")
    lost = np.count_nonzero((~np.isfinite(answers) & np.isfinite(reference)).reshape(len(answers), -1).any(axis=1))
    if lost:
        raise MeasureFailed(
            f"output {name!r} is no finite number in {lost} of {len(answers)} rows where the "
            "original's is; the arithmetic overflows: leave its layers in float"
        )
