"""Intervals hold their value, turn round with the pair and narrow with n."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.metrics.interval import around_positive, paired_drop, share_missing, standard_error


def test_the_interval_of_a_paired_difference_is_bonett_and_prices() -> None:
    # 100 pairs: 10 lost, 4 won; worked by hand from (b+1)/(n+2), (c+1)/(n+2)
    before = np.array([True] * 50 + [False] * 50)
    after = before.copy()
    after[:10] = False
    after[50:54] = True

    interval = paired_drop(before, after)

    assert interval.value == pytest.approx(0.06)
    assert interval.low == pytest.approx(-0.0169, abs=5e-4)
    assert interval.high == pytest.approx(0.1346, abs=5e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_the_interval_holds_its_value_and_turns_round_with_the_pair(pairs: list[tuple[bool, bool]]) -> None:
    before, after = (np.array(column) for column in zip(*pairs, strict=True))

    drop, rise = paired_drop(before, after), paired_drop(after, before)

    assert drop.low <= drop.value <= drop.high
    assert drop.value == pytest.approx(-rise.value)
    assert drop.low == pytest.approx(-rise.high)


def test_more_rows_narrow_the_interval() -> None:
    few, many = np.ones(100, dtype=bool), np.ones(10_000, dtype=bool)

    wide, narrow = paired_drop(few, few), paired_drop(many, many)

    assert narrow.high - narrow.low < (wide.high - wide.low) / 10


def test_the_interval_of_a_missing_share_is_wilsons() -> None:
    # 3 of 50, worked by hand: (0.06 + 3.8415/100) / (1 + 3.8415/50) -+ ...
    held = np.array([False] * 3 + [True] * 47)

    interval = share_missing(held)

    assert (interval.value, interval.low, interval.high) == pytest.approx((0.06, 0.0206, 0.1622), abs=1e-4)


def test_nothing_missing_still_leaves_room_above() -> None:
    interval = share_missing(np.ones(100, dtype=bool))

    assert (interval.value, interval.low) == (0.0, 0.0)
    assert interval.high == pytest.approx(0.037, abs=1e-3)


def test_the_interval_of_a_distance_reaches_further_up_than_down_and_never_below_zero() -> None:
    interval = around_positive(0.1, 0.1)

    assert interval.low > 0
    assert interval.high - interval.value > interval.value - interval.low


def test_rows_that_change_together_count_as_fewer() -> None:
    held = np.arange(100) % 4 > 0

    alone, together = share_missing(held), share_missing(held, clumping=4)

    assert together.value == alone.value
    assert together.high - together.low == pytest.approx(2 * (alone.high - alone.low), rel=0.05)


def test_a_single_row_shows_no_spread() -> None:
    assert standard_error(np.array([3.0])) == 0.0
