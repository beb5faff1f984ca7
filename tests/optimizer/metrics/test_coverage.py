# ruff: noqa: T201 the figures are the point: pytest -s shows them
"""The intervals hold the true drop about as often as they say, and the rows that the note names resolve the budget.

Answers are drawn from models whose true drop is known (or taken from a very large draw); nominal 95 %.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from optimizer.metrics.classes import Accuracy, Agreement
from optimizer.metrics.embeddings import Cosine, Neighbours
from optimizer.metrics.fidelity import Fidelity, Metric, compare, resolution_note, rows_to_resolve
from optimizer.metrics.interval import Interval
from optimizer.metrics.quantities import RelativeError, Rmse
from optimizer.metrics.ranking import Auc
from optimizer.metrics.user_metric import UserMetric
from tests.optimizer.metrics.answers import unit_rows

pytestmark = pytest.mark.slow

Drawn: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.generic]]
"""Candidate, original, labels."""
_CENTRES = unit_rows(count=4, width=16, seed=1)


def _classes(random: np.random.Generator, n: int) -> Drawn:
    """Ten classes, the original right in about four of five, the candidate a little moved."""
    labels = random.integers(0, 10, size=n)
    reference = 3 * np.eye(10)[labels] + random.normal(size=(n, 10))
    answers = reference + 0.35 * random.normal(size=(n, 10))
    return answers.astype(np.float32), reference.astype(np.float32), labels


def _two(random: np.random.Generator, n: int) -> Drawn:
    labels = (random.uniform(size=n) < 0.25).astype(np.int64)
    reference = (1.6 * labels + random.normal(size=n))[:, None]
    answers = reference + 0.5 * random.normal(size=(n, 1))
    return answers.astype(np.float32), reference.astype(np.float32), labels


def _quantities(random: np.random.Generator, n: int) -> Drawn:
    targets = random.normal(size=n)
    reference = (targets + 0.3 * random.standard_t(5, size=n))[:, None]
    answers = reference + 0.1 * random.normal(size=(n, 1))
    return answers.astype(np.float32), reference.astype(np.float32), targets


def _embeddings(random: np.random.Generator, n: int) -> Drawn:
    """Clustered embeddings; each row is moved by its own amount, some by much."""
    reference = _CENTRES[random.integers(0, 4, size=n)] + 0.6 * random.normal(size=(n, 16)) / 4
    moved = 0.02 * np.exp(0.5 * random.normal(size=(n, 1))) * random.normal(size=(n, 16))
    return (reference + moved).astype(np.float32), reference.astype(np.float32), np.zeros(n)


def _top_share(answers: dict[str, NDArray[np.float32]], labels: NDArray[np.int64]) -> float:
    return float((answers["y"].argmax(axis=1) == labels).mean())


def _judge(metric: Metric, drawn: Drawn) -> Fidelity:
    answers, reference, labels = drawn
    return compare({"y": answers}, {"y": reference}, labels, metric)


@pytest.mark.parametrize(
    ("metric", "draw", "n", "draws"),
    [
        (Accuracy(), _classes, 500, 2000),
        (Agreement(), _classes, 500, 2000),
        (Auc(), _two, 400, 1000),
        (Auc(), _classes, 400, 600),
        (Rmse(), _quantities, 300, 2000),
        (RelativeError(), _quantities, 300, 2000),
        (Cosine(), _embeddings, 500, 600),
        (Neighbours(), _embeddings, 500, 600),
        (UserMetric(name="m:f", function=_top_share, draws=100), _classes, 500, 400),
    ],
    ids=lambda value: getattr(value, "name", None) or getattr(value, "__name__", None) or str(value),
)
def test_nineteen_of_twenty_intervals_hold_the_true_drop(
    metric: Metric, draw: Callable[[np.random.Generator, int], Drawn], n: int, draws: int
) -> None:
    random = np.random.default_rng(7)
    many = [_judge(metric, draw(random, n)).drop for _ in range(draws)]
    true = _truth(metric, draw, n)

    held = np.mean([one.low <= true <= one.high for one in many])

    print(f"{metric.name} n={n}: {100 * held:.1f} % of {draws} hold {true:.5f}")
    assert 0.92 <= held <= 0.99


def test_where_few_rows_differ_the_interval_is_wide_rather_than_narrow() -> None:
    random = np.random.default_rng(7)
    many = [_judge(Accuracy(), _classes(random, 50)).drop for _ in range(2000)]
    true = _truth(Accuracy(), _classes, 50)

    assert np.mean([one.low <= true <= one.high for one in many]) >= 0.95


def _truth(metric: Metric, draw: Callable[[np.random.Generator, int], Drawn], n: int) -> float:
    """Return the drop of a very large draw; neighbours depend on n, so there it is the mean of many draws."""
    random = np.random.default_rng(99)
    if isinstance(metric, Neighbours):
        return float(np.mean([_judge(metric, draw(random, n)).drop.value for _ in range(400)]))
    if isinstance(metric, UserMetric):
        return _judge(Accuracy(), draw(random, 400_000)).drop.value
    return _judge(metric, draw(random, 400_000 if not isinstance(metric, Cosine) else 100_000)).drop.value


@pytest.mark.parametrize("budget", [0.002, 0.005, 0.015])
def test_the_rows_that_the_note_names_resolve_the_budget_in_most_draws(budget: float) -> None:
    random = np.random.default_rng(11)
    true = _judge(Accuracy(), _classes(random, 400_000))
    half = (true.drop.high - true.drop.low) / 2 * np.sqrt(400_000 / 400)
    drop = Interval(value=true.drop.value, low=true.drop.value - half, high=true.drop.value + half)
    wanted = rows_to_resolve(dataclasses.replace(true, n=400, drop=drop), budget)
    assert wanted is not None

    resolved = [resolution_note(_judge(Accuracy(), _classes(random, wanted)), budget) is None for _ in range(200)]

    print(
        f"drop {100 * true.drop.value:.2f}, budget {100 * budget}: n={wanted}, {100 * np.mean(resolved):.0f} % resolved"
    )
    assert 0.7 <= np.mean(resolved) <= 0.95
