"""Distances, and how seldom chance alone is taken for one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sketch import LATENCY_EDGES_MS
from fleet_server.rollouts.comparison import distance, percentile_ms, slowdown

TEN = (1,) * 10
SKEWED = (2, 3, 5, 10, 20, 30, 50, 80, 150, 650)
histograms = st.lists(st.integers(0, 300), min_size=10, max_size=10).filter(any)


def draw(random_source: random.Random, weights: Sequence[float], rows: int) -> list[int]:
    """Return counts of that many draws."""
    counted = Counter(random_source.choices(range(len(weights)), weights, k=rows))
    return [counted[place] for place in range(len(weights))]


def share_too_far(wave: Sequence[float], control: Sequence[float], *, rows: tuple[int, int], limit: float) -> float:
    """Return how often 1,000 pairs of draws are judged too far apart."""
    source = random.Random(7)
    halts = [
        distance(draw(source, wave, rows[0]), draw(source, control, rows[1]), limit=limit).is_too_far
        for _ in range(1000)
    ]
    return sum(halts) / len(halts)


@given(histograms, histograms)
def test_distance_is_symmetric_and_between_nothing_and_all(left: list[int], right: list[int]) -> None:
    one, other = distance(left, right, limit=0.1), distance(right, left, limit=0.1)

    assert one.value == pytest.approx(other.value)
    assert one.bound == pytest.approx(other.bound)
    assert 0.0 <= one.value <= 1.0 + 1e-9


@given(histograms)
def test_a_histogram_is_never_too_far_from_itself(counts: list[int]) -> None:
    assert not distance(counts, counts, limit=0.0).is_too_far


def test_with_many_rows_the_bound_is_the_limit() -> None:
    few = distance([10] * 10, [10] * 10, limit=0.25)
    many = distance([100_000] * 10, [100_000] * 10, limit=0.25)

    assert few.bound > 0.35
    assert many.bound == pytest.approx(0.25, abs=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [(150, 150), (150, 300), (300, 300)])
@pytest.mark.parametrize("mix", [TEN, SKEWED])
def test_a_good_release_is_halted_in_less_than_one_rollout_of_a_hundred(
    mix: Sequence[int], rows: tuple[int, int]
) -> None:
    at_the_default = share_too_far(mix, mix, rows=rows, limit=0.25)
    with_no_tolerance = share_too_far(mix, mix, rows=rows, limit=0.0)

    print(f"{rows} rows: false halts {at_the_default:.1%} at limit 0.25, {with_no_tolerance:.1%} at limit 0")  # noqa: T201 - the figure is the point
    assert at_the_default < 0.001
    assert with_no_tolerance < 0.01


@pytest.mark.slow
def test_a_release_within_its_tolerance_is_not_halted_by_chance() -> None:
    a_fifth_moved = [share * 0.8 for share in TEN]
    a_fifth_moved[3] += 2.0

    assert share_too_far(a_fifth_moved, TEN, rows=(200, 200), limit=0.25) < 0.01


@pytest.mark.slow
def test_a_biased_release_is_caught_with_200_rows_a_side() -> None:
    half_moved = [share * 0.5 for share in TEN]
    half_moved[3] += 5.0

    assert share_too_far(half_moved, TEN, rows=(200, 200), limit=0.25) > 0.99


def test_a_percentile_lies_in_its_bin() -> None:
    counts = [0] * (len(LATENCY_EDGES_MS) + 1)
    counts[10] = 100

    assert LATENCY_EDGES_MS[9] <= percentile_ms(counts, 0.95) <= LATENCY_EDGES_MS[10]
    assert percentile_ms(counts, 0.0) == pytest.approx(LATENCY_EDGES_MS[9])
    assert percentile_ms(counts, 1.0) == pytest.approx(LATENCY_EDGES_MS[10])


@given(st.lists(st.integers(0, 50), min_size=33, max_size=33).filter(any), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_percentile_is_no_faster(counts: list[int], one: float, other: float) -> None:
    assert percentile_ms(counts, min(one, other)) <= percentile_ms(counts, max(one, other)) * (1 + 1e-9)


def test_a_few_slow_requests_prove_no_slowdown_and_many_do() -> None:
    control = [0] * 12 + [100] + [0] * 20
    few = [0] * 12 + [3] + [0] * 7 + [1] + [0] * 12
    many = [0] * 12 + [300] + [0] * 7 + [100] + [0] * 12

    assert slowdown(few, control).least_ratio < 2
    assert slowdown(many, control).least_ratio > 8
