"""Laws of merging: what two parts showed, together, is what the whole shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.calibration.observe import NotFiniteError, observe
from optimizer.calibration.statistics import BINS, Statistics, TensorStatistics, grid_of, merge, merge_tensor
from tests.optimizer.calibration.tensors import CHANNELS, exact, tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LAW = settings(max_examples=40, deadline=None)


def _seen(values: NDArray[np.generic], *, axis: int = 1, times: int = 1) -> TensorStatistics:
    found = observe(values, axis=axis, times=times)
    assert found is not None
    return found


@_LAW
@given(tables(), tables())
def test_merging_is_commutative(one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    forth, back = merge_tensor(_seen(one), _seen(other)), merge_tensor(_seen(other), _seen(one))

    assert exact(forth) == exact(back)


@_LAW
@given(tables(), tables(), tables())
def test_merging_is_associative(a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]) -> None:
    first, second, third = _seen(a), _seen(b), _seen(c)

    left = merge_tensor(merge_tensor(first, second), third)
    right = merge_tensor(first, merge_tensor(second, third))

    assert exact(left) == exact(right)


@_LAW
@given(tables(), st.integers(0, 12))
def test_the_whole_shows_what_its_parts_merged_show(table: NDArray[np.float32], cut: int) -> None:
    parts = [part for part in (table[:cut], table[cut:]) if len(part)]

    merged = [_seen(part) for part in parts]

    assert exact(merged[0] if len(merged) == 1 else merge_tensor(*merged)) == exact(_seen(table))


@_LAW
@given(tables(), st.randoms(use_true_random=False))
def test_order_does_not_matter(table: NDArray[np.float32], chance: np.random.Generator) -> None:
    shuffled = np.array(sorted(table.tolist(), key=lambda _: chance.random()), np.float32)

    assert exact(_seen(shuffled)) == exact(_seen(table))


@_LAW
@given(tables())
def test_every_value_is_counted_in_the_bin_between_whose_edges_it_lies(table: NDArray[np.float32]) -> None:
    seen = _seen(table)
    grid = grid_of(seen.low, seen.high)

    places = [math.floor(math.ldexp(value, -grid.exponent)) - grid.first for value in table.reshape(-1).tolist()]

    assert seen.histogram.tolist() == np.bincount(places, minlength=BINS).tolist()
    assert (seen.histogram_low, seen.histogram_high) == (grid.low, grid.high)
    assert seen.histogram_low <= seen.low <= seen.high < seen.histogram_high


@_LAW
@given(tables())
def test_the_finest_grid_is_taken_that_holds_the_range(table: NDArray[np.float32]) -> None:
    seen = _seen(table)
    width = (seen.histogram_high - seen.histogram_low) / BINS
    peak = max(abs(seen.low), abs(seen.high))

    half = width / 2
    bins_on_a_finer_grid = math.floor(seen.high / half) - math.floor(seen.low / half) + 1

    assert bins_on_a_finer_grid > BINS or half < math.ldexp(peak, -23) or width == math.ldexp(1.0, -120)


@_LAW
@given(tables())
def test_channels_have_their_peak_and_mean(table: NDArray[np.float32]) -> None:
    seen = _seen(table)

    assert seen.channel_peak.tolist() == np.abs(table).max(axis=0).tolist()
    np.testing.assert_allclose(seen.channel_mean, table.mean(axis=0, dtype=np.float64), rtol=1e-12)


def test_means_are_weighed_by_their_counts() -> None:
    one, other = _seen(np.full((3, 1), 1.0, np.float32)), _seen(np.full((1, 1), 5.0, np.float32))

    assert merge_tensor(one, other).channel_mean.tolist() == [2.0]


def test_a_constant_tensor_has_a_grid() -> None:
    seen = _seen(np.full((4, CHANNELS), 1.5, np.float32))

    assert (seen.low, seen.high, seen.histogram[0], seen.count) == (1.5, 1.5, 12, 12)
    assert seen.histogram_low == 1.5


def test_a_tensor_of_zeros_has_a_grid_and_negative_zero_is_zero() -> None:
    seen = _seen(np.full((4, CHANNELS), -0.0, np.float32))

    assert math.copysign(1.0, seen.low) == 1.0
    assert seen.histogram[0] == 12


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_are_found_along_any_axis(axis: int) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    others = tuple({0, 1, 2} - {axis})

    seen = _seen(values, axis=axis)

    assert seen.channel_peak.tolist() == values.max(axis=others).tolist()
    np.testing.assert_allclose(seen.channel_mean, values.mean(axis=others))


def test_a_tensor_larger_than_a_piece_is_seen_whole() -> None:
    values = np.random.default_rng(1).normal(size=(300, 3, 401)).astype(np.float32)

    seen = _seen(values)

    assert seen.count == seen.histogram.sum() == values.size
    assert (seen.low, seen.high) == (float(values.min()), float(values.max()))
    np.testing.assert_allclose(seen.channel_mean, values.mean(axis=(0, 2), dtype=np.float64), rtol=1e-9)


def test_a_tensor_that_rows_share_counts_for_each_of_them() -> None:
    seen = _seen(np.ones((1, CHANNELS), np.float32), times=7)

    assert (seen.count, seen.histogram.sum()) == (21, 21)


def test_channels_whose_number_changes_become_one() -> None:
    one, other = _seen(np.full((1, 3), 2.0, np.float32)), _seen(np.full((1, 5), -4.0, np.float32))

    merged = merge_tensor(one, other)

    assert merged.channel_peak.tolist() == [4.0]
    assert merged.channel_mean.tolist() == [(2.0 * 3 - 4.0 * 5) / 8]


def test_a_single_number_has_one_channel() -> None:
    assert _seen(np.array(3.0, np.float32)).channel_peak.tolist() == [3.0]


def test_nothing_seen_is_none() -> None:
    assert observe(np.zeros((0, 4), np.float32), axis=1) is None


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(NotFiniteError):
        observe(np.array([[1.0, np.nan, np.inf]], np.float32), axis=1)


def test_infinities_are_counted_apart_and_as_zero() -> None:
    masked = _seen(np.array([[1.0, -np.inf], [3.0, np.inf]], np.float32), times=2)

    zeroed = _seen(np.array([[1.0, 0.0], [3.0, 0.0]], np.float32), times=2)

    assert masked.infinite == 4
    assert exact(masked) == {**exact(zeroed), "infinite": 4}
    assert merge_tensor(masked, zeroed).infinite == 4


def test_half_precision_is_seen_as_its_values() -> None:
    seen = _seen(np.array([[0.5, 65504.0]], np.float16))

    assert (seen.low, seen.high) == (0.5, 65504.0)


def test_merging_models_keeps_tensors_that_only_one_has() -> None:
    x, y = _seen(np.ones((1, 1), np.float32)), _seen(np.zeros((1, 1), np.float32))

    both = merge(Statistics(rows=1, tensors={"x": x}), Statistics(rows=2, tensors={"x": x, "y": y}))

    assert (both.rows, list(both.tensors), both.tensors["x"].count) == (3, ["x", "y"], 2)
