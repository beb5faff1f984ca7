"""The three tests against published values, and their size where nothing changed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.drift.statistics import (
    chi_square_tail,
    pool_small,
    same_histogram,
    same_mean,
    same_share,
    two_sided_t,
)

cells = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=12)


def uniform_counts(source: random.Random, rows: int, bins: int) -> list[int]:
    """Return counts of uniform draws."""
    counted = Counter(source.randrange(bins) for _ in range(rows))
    return [counted[place] for place in range(bins)]


@pytest.mark.parametrize(
    ("statistic", "freedom", "tail"),  # tables of the chi-square distribution
    [(3.841, 1, 0.05), (6.635, 1, 0.01), (18.307, 10, 0.05), (29.588, 10, 0.001), (24.996, 15, 0.05), (0.0, 3, 1.0)],
)
def test_chi_square_tail_agrees_with_the_tables(statistic: float, freedom: int, tail: float) -> None:
    assert chi_square_tail(statistic, freedom) == pytest.approx(tail, rel=2e-3)


def test_a_far_tail_is_small_and_not_zero() -> None:
    assert 1e-60 < chi_square_tail(300.0, 10) < 1e-50


@pytest.mark.parametrize(("statistic", "freedom", "p"), [(1.984, 100, 0.05), (2.626, 100, 0.01), (1.960, 1e6, 0.05)])
def test_student_agrees_with_the_tables(statistic: float, freedom: float, p: float) -> None:
    assert two_sided_t(statistic, freedom) == pytest.approx(p, rel=5e-3)


@given(cells)
def test_pooling_loses_nobody(pairs: list[tuple[int, int]]) -> None:
    left, right = [one for one, _ in pairs], [other for _, other in pairs]

    pooled = pool_small(left, right)

    assert not pooled or (sum(one for one, _ in pooled), sum(other for _, other in pooled)) == (sum(left), sum(right))


def test_empty_and_single_celled_histograms_prove_nothing() -> None:
    assert same_histogram([0, 0], [10, 10]) == 1.0
    assert same_histogram([50, 0], [50, 0]) == 1.0


@pytest.mark.slow
def test_the_histogram_test_alarms_as_often_as_it_says() -> None:
    source = random.Random(11)

    alarms = [
        same_histogram(uniform_counts(source, 150, 16), uniform_counts(source, 500, 16)) < 0.05 for _ in range(2000)
    ]

    assert 0.035 < sum(alarms) / len(alarms) < 0.065


def test_equal_constants_are_alike_and_different_ones_are_not() -> None:
    assert same_mean(gap=0.0, error=0.0, freedom=10) == 1.0
    assert same_mean(gap=0.1, error=0.0, freedom=10) == 0.0


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    [
        ((0, 0), (100, 500), 1.0, 1.0),
        ((2, 10), (100, 500), 0.9, 1.0),
        ((5, 0), (100, 500), 0.0, 0.001),
        ((5000, 4000), (100_000, 100_000), 0.0, 1e-20),
        ((2050, 2000), (100_000, 100_000), 0.3, 0.6),
    ],
)
def test_shares_are_told_apart(hits: tuple[int, int], rows: tuple[int, int], low: float, high: float) -> None:
    assert low <= same_share(hits=hits, rows=rows) <= high
