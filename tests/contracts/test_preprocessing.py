"""Steps between what clients send and what the model file takes."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import TensorError
from contracts.preprocessing import Step, StepKind, apply_steps

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
