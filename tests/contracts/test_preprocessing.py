"""Steps between what clients send and what the model file takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.errors import TensorError
from contracts.preprocessing import DTYPES, Step, StepKind, apply_steps, to_real, to_stored
from contracts.tensors import ElementType, Quantization, TensorSpec

LAST = (Step(kind=StepKind.CHANNEL_LAST, tensor="x"),)


@pytest.mark.parametrize(
    ("before", "after"), [((2, 3, 4, 5), (2, 4, 5, 3)), ((2, 3, 7), (2, 7, 3))], ids=["an image", "a line"]
)
def test_channels_move_to_the_end(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    values = np.arange(np.prod(before), dtype=np.float32).reshape(before)

    moved = apply_steps(LAST, "x", values)

    assert moved.shape == after
    np.testing.assert_array_equal(np.moveaxis(moved, -1, 1), values)


def test_a_table_has_no_channels_to_move() -> None:
    with pytest.raises(TensorError, match="channel_last needs"):
        apply_steps(LAST, "x", np.zeros((2, 3)))


def test_steps_for_other_tensors_are_passed_over() -> None:
    values = np.ones((2, 3), dtype=np.float32)

    assert apply_steps(LAST, "y", values) is values


def scale(*, factor: tuple[float, ...] = (1.0,), offset: tuple[float, ...] = (0.0,), tensor: str = "x") -> Step:
    """Return a scaling step."""
    return Step(kind=StepKind.SCALE, tensor=tensor, factor=factor, offset=offset)


def quantized(element: ElementType, *, unit: float, zero_point: int) -> TensorSpec:
    """Return a quantized tensor of any batch of four numbers."""
    return TensorSpec(
        name="x", element=element, shape=(-1, 4), quantization=Quantization(scale=unit, zero_point=zero_point)
    )


BATCHES = st.lists(st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4), min_size=1, max_size=5).map(
    lambda rows: np.asarray(rows, dtype=np.float32)
)
UNITS = st.sampled_from((0.0078125, 0.03125, 0.5, 2.0))


@given(BATCHES)
def test_no_steps_change_nothing(values: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(apply_steps((), "x", values), values)


@given(BATCHES)
def test_steps_run_in_their_order(values: NDArray[np.float32]) -> None:
    double, shift = scale(factor=(2.0,)), scale(offset=(1.0,))

    np.testing.assert_array_equal(apply_steps((double, shift), "x", values), values * np.float32(2) + np.float32(1))
    np.testing.assert_array_equal(apply_steps((shift, double), "x", values), (values + np.float32(1)) * np.float32(2))


@given(BATCHES)
def test_a_batch_is_its_rows_one_by_one(values: NDArray[np.float32]) -> None:
    steps = (scale(factor=(0.5, 1.0, 2.0, 4.0), offset=(1.0, 0.0, 0.0, -1.0)),)

    rows = [apply_steps(steps, "x", row[np.newaxis]) for row in values]

    np.testing.assert_array_equal(apply_steps(steps, "x", values), np.concatenate(rows))


@given(BATCHES)
def test_steps_leave_what_they_were_given_as_it_was(values: NDArray[np.float32]) -> None:
    before = values.copy()

    apply_steps((scale(factor=(3.0,)),), "x", values)

    np.testing.assert_array_equal(values, before)


def test_one_factor_a_channel_goes_along_axis_one() -> None:
    values = np.ones((2, 3, 2, 2), dtype=np.float32)

    scaled = apply_steps((scale(factor=(1.0, 10.0, 100.0), offset=(0.0, 1.0, 2.0)),), "x", values)

    np.testing.assert_array_equal(scaled[0, :, 0, 0], [1.0, 11.0, 102.0])
    np.testing.assert_array_equal(scaled, np.broadcast_to(scaled[:1, :, :1, :1], scaled.shape))


def test_integers_become_real_before_they_are_scaled() -> None:
    scaled = apply_steps((scale(factor=(1 / 255,)),), "x", np.asarray([[0, 255]], dtype=np.uint8))

    assert scaled.dtype == np.float32
    assert scaled.tolist() == [[0.0, pytest.approx(1.0)]]


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 1, 3)])
def test_factors_for_other_channels_are_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match=r"x: 3 factors for shape .*; give one per channel"):
        apply_steps((scale(factor=(1.0, 2.0, 3.0)),), "x", np.zeros(shape, dtype=np.float32))


@given(BATCHES, UNITS, st.integers(-128, 127))
def test_a_value_in_range_comes_back_within_half_a_step(
    values: NDArray[np.float32], unit: float, zero_point: int
) -> None:
    spec = quantized(ElementType.INT8, unit=unit, zero_point=zero_point)
    low, high = (-128 - zero_point) * unit, (127 - zero_point) * unit
    inside = np.clip(values, low, high)

    back = to_real(to_stored(inside, spec), spec.quantization)

    assert np.abs(back - inside).max() <= unit / 2 * (1 + 1e-5)


@given(BATCHES, UNITS, st.sampled_from([(ElementType.INT8, -128, 127), (ElementType.UINT8, 0, 255)]))
def test_what_is_out_of_range_saturates(
    values: NDArray[np.float32], unit: float, kind: tuple[ElementType, int, int]
) -> None:
    element, low, high = kind
    spec = quantized(element, unit=unit, zero_point=low)

    stored = to_stored(values + np.float32(1e6), spec)

    assert stored.dtype == DTYPES[element]
    assert set(np.unique(stored)) == {high}
    assert set(np.unique(to_stored(values - np.float32(1e6), spec))) == {low}


@given(st.integers(-128, 127), UNITS, st.integers(-128, 127))
def test_a_stored_value_is_kept_through_real_and_back(value: int, unit: float, zero_point: int) -> None:
    spec = quantized(ElementType.INT8, unit=unit, zero_point=zero_point)
    stored = np.full((1, 4), value, dtype=np.int8)

    np.testing.assert_array_equal(to_stored(to_real(stored, spec.quantization), spec), stored)


def test_halves_go_to_the_even_neighbour() -> None:
    spec = quantized(ElementType.INT8, unit=1.0, zero_point=0)

    stored = to_stored(np.asarray([[0.5, 1.5, 2.5, -0.5]], dtype=np.float32), spec)

    assert stored.tolist() == [[0, 2, 2, 0]]


@pytest.mark.parametrize("element", ElementType)
def test_every_element_type_has_its_bytes(element: ElementType) -> None:
    spec = TensorSpec(name="x", element=element, shape=(-1, 4))

    stored = to_stored(np.asarray([[0.0, 1.0, 1.0, 0.0]], dtype=np.float32), spec)

    assert stored.dtype == DTYPES[element]
    assert to_real(stored, None).tolist() == [[0.0, 1.0, 1.0, 0.0]]
