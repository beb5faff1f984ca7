"""Laws of the ranges that are read from statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.calibration.observe import observe
from optimizer.calibration.ranges import CalibrationMethod, range_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.calibration.statistics import TensorStatistics

_VALUES = st.lists(
    st.floats(-1e4, 1e4, width=32).filter(lambda value: value == 0 or abs(value) > 1e-4), min_size=1, max_size=200
)
_METHODS = st.sampled_from(CalibrationMethod)


def _seen(values: list[float] | NDArray[np.floating]) -> TensorStatistics:
    seen = observe(np.asarray(values, np.float32).reshape(-1, 1), axis=1)
    assert seen is not None
    return seen


def _normal(count: int = 50_000) -> NDArray[np.float64]:
    return np.random.default_rng(3).normal(size=count)


def _error(values: NDArray[np.float64], ends: tuple[float, float]) -> float:
    """Return the mean squared error of the values on 256 levels between the ends."""
    step = (ends[1] - ends[0]) / 255
    return float(np.mean((np.round(np.clip(values, *ends) / step) * step - values) ** 2))


@settings(max_examples=40)
@given(values=_VALUES, method=_METHODS)
def test_a_range_holds_zero_and_is_not_empty(values: list[float], method: CalibrationMethod) -> None:
    low, high = range_of(_seen(values), method)

    assert low <= 0 <= high
    assert low < high


@settings(max_examples=40)
@given(values=_VALUES.filter(any), method=_METHODS)
def test_a_range_is_inside_of_what_was_seen_widened_to_zero(values: list[float], method: CalibrationMethod) -> None:
    seen = _seen(values)

    low, high = range_of(seen, method)

    assert low >= min(seen.low, 0)
    assert high <= max(seen.high, 0)


@settings(max_examples=40)
@given(values=_VALUES)
def test_all_of_the_values_are_the_whole_range(values: list[float]) -> None:
    seen = _seen(values)

    assert range_of(seen, CalibrationMethod.PERCENTILE, percentile=100) == range_of(seen, CalibrationMethod.MINMAX)


@settings(max_examples=40)
@given(values=_VALUES, kept=st.floats(51, 99.99))
def test_a_percentile_leaves_out_no_more_than_it_says(values: list[float], kept: float) -> None:
    seen = _seen(values)

    low, high = range_of(seen, CalibrationMethod.PERCENTILE, percentile=kept)

    inside = np.mean([(low <= np.float32(value) <= high) for value in values])
    assert inside >= kept / 100 - 1e-9


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_a_tensor_of_zeros_gets_a_range_that_relu_can_be_bounded_by(method: CalibrationMethod) -> None:
    assert range_of(_seen([0.0, 0.0]), method) == (0.0, 1.0)


@pytest.mark.parametrize("method", list(CalibrationMethod))
@pytest.mark.parametrize(("value", "ends"), [(3.0, (0.0, 3.0)), (-3.0, (-3.0, 0.0))])
def test_a_constant_is_one_end_and_zero_the_other(
    method: CalibrationMethod, value: float, ends: tuple[float, float]
) -> None:
    assert range_of(_seen([value] * 5), method) == ends


@pytest.mark.parametrize("method", [CalibrationMethod.PERCENTILE, CalibrationMethod.ENTROPY])
def test_one_value_far_out_does_not_set_the_range(method: CalibrationMethod) -> None:
    low, high = range_of(_seen(np.append(_normal(), 50.0)), method)

    assert 3 < high < 6
    assert -6 < low < -3


def test_the_clip_of_least_error_errs_less_than_the_whole_range() -> None:
    values = np.random.default_rng(3).laplace(size=50_000)
    seen = _seen(values)

    clipped, whole = (
        _error(values, range_of(seen, method)) for method in (CalibrationMethod.MSE, CalibrationMethod.MINMAX)
    )

    assert clipped < 0.97 * whole


def test_the_clip_of_least_error_is_no_worse_than_any_other_clip() -> None:
    values = np.random.default_rng(3).laplace(size=50_000)

    found = _error(values, range_of(_seen(values), CalibrationMethod.MSE))

    others = [_error(values, (-limit, limit)) for limit in np.linspace(2, 12, 60)]
    assert found < 1.05 * min(others)


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_many_zeros_behind_a_relu_do_not_pull_the_range_in(method: CalibrationMethod) -> None:
    low, high = range_of(_seen(np.maximum(_normal() - 1, 0)), method)

    assert low == 0
    assert high > 2


def test_a_tensor_without_negative_values_keeps_its_zero_at_every_percentile() -> None:
    low, high = range_of(_seen(np.linspace(0, 1, 1000)), CalibrationMethod.PERCENTILE, percentile=90)

    assert low == 0
    assert high == pytest.approx(0.9, abs=0.01)
