"""From the model's answer to the client's: each step by hand, and what may follow what."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import TensorError
from contracts.postprocessing import (
    AnswerStep,
    AnswerStepKind,
    answered,
    answered_spec,
    before_choice,
    check_order,
    differences,
)
from contracts.tensors import ElementType, TensorSpec

SCORES = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 0.0]], dtype=np.float32)
SOFTMAX = AnswerStep(kind=AnswerStepKind.SOFTMAX, tensor="s")
SIGMOID = AnswerStep(kind=AnswerStepKind.SIGMOID, tensor="s")
TOP = AnswerStep(kind=AnswerStepKind.TOP_CLASS, tensor="s")
HALF = AnswerStep(kind=AnswerStepKind.THRESHOLD, tensor="s")
SPEC = TensorSpec(name="s", element=ElementType.FP32, shape=(-1, 3))


def test_a_softmax_gives_shares_that_sum_to_one() -> None:
    shares = answered((SOFTMAX,), "s", SCORES)

    powers = [math.exp(1), math.exp(2), math.exp(3)]
    np.testing.assert_allclose(shares[0].astype(np.float64), [power / sum(powers) for power in powers], rtol=1e-6)
    np.testing.assert_allclose(shares.astype(np.float64).sum(axis=1), [1, 1], rtol=1e-6)


def test_a_softmax_of_large_scores_stays_finite() -> None:
    assert answered((SOFTMAX,), "s", np.array([[1e30, 0.0]], dtype=np.float32)).tolist() == [[1.0, 0.0]]


@given(st.floats(-1e6, 1e6, width=32))
def test_a_sigmoid_is_the_logistic_function_without_overflow(score: float) -> None:
    share = float(answered((SIGMOID,), "s", np.array([[score]], dtype=np.float32)).item())

    assert share == pytest.approx(1 / (1 + math.exp(-max(-700.0, score))), abs=1e-6)


def test_a_top_class_is_the_first_of_the_largest() -> None:
    classes = answered((TOP,), "s", SCORES)

    assert (classes.tolist(), classes.dtype.name) == ([2, 0], "int64")


def test_a_threshold_takes_in_the_value_at_it_and_may_differ_by_channel() -> None:
    each = AnswerStep(kind=AnswerStepKind.THRESHOLD, tensor="s", threshold=(1.0, 5.0, 3.0))

    assert answered((each,), "s", SCORES).tolist() == [[True, False, True], [False, False, False]]


def test_a_scale_is_factor_and_offset() -> None:
    scale = AnswerStep(kind=AnswerStepKind.SCALE, tensor="s", factor=(2.0,), offset=(1.0, 2.0, 3.0))

    assert answered((scale,), "s", SCORES)[0].tolist() == [3.0, 6.0, 9.0]


def test_steps_run_in_order_and_those_of_other_outputs_are_passed_over() -> None:
    other = AnswerStep(kind=AnswerStepKind.SCALE, tensor="t", factor=(0.0,))

    assert answered((other, SIGMOID, HALF), "s", SCORES).tolist() == [[True, True, True], [True, False, True]]
    assert answered((other, SIGMOID, HALF), "t", SCORES).max() == 0.0


def test_drift_is_watched_by_what_was_there_before_the_choice() -> None:
    np.testing.assert_array_equal(before_choice((SOFTMAX, TOP), "s", SCORES), answered((SOFTMAX,), "s", SCORES))


@pytest.mark.parametrize(
    ("steps", "element", "shape"),
    [
        ((), ElementType.FP32, (-1, 3)),
        ((SOFTMAX,), ElementType.FP32, (-1, 3)),
        ((SOFTMAX, TOP), ElementType.INT64, (-1,)),
        ((SIGMOID, HALF), ElementType.BOOL, (-1, 3)),
    ],
)
def test_the_served_output_is_described_as_it_comes(
    steps: tuple[AnswerStep, ...], element: ElementType, shape: tuple[int, ...]
) -> None:
    spec = answered_spec(steps, SPEC)

    assert (spec.element, spec.shape, spec.name) == (element, shape, "s")


@pytest.mark.parametrize(
    ("step", "values", "complaint"),
    [
        (SOFTMAX, np.zeros(3), r"softmax needs \(n, ..., classes\), got shape \(3,\)"),
        (TOP, np.zeros((2, 3, 4)), r"top_class needs \(n, classes\)"),
        (
            AnswerStep(kind=AnswerStepKind.SCALE, tensor="s", factor=(1.0, 2.0)),
            np.zeros((2, 3)),
            "give one per channel",
        ),
    ],
)
def test_a_step_that_does_not_fit_says_what_it_needs(
    step: AnswerStep, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], complaint: str
) -> None:
    with pytest.raises(TensorError, match=complaint):
        answered((step,), "s", values)


@pytest.mark.parametrize("numbers", [(), (math.nan,), (1.0, math.inf)])
@pytest.mark.parametrize("field", ["factor", "offset", "threshold"])
def test_numbers_that_are_none_are_refused(field: str, numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"{field} .* is not finite numbers"):
        AnswerStep(kind=AnswerStepKind.SCALE, tensor="s", **{field: numbers})


def test_a_choice_is_the_last_step() -> None:
    check_order((SOFTMAX, TOP), ["s"])

    with pytest.raises(ValueError, match="softmax follows a choice"):
        check_order((TOP, SOFTMAX), ["s"])
    with pytest.raises(ValueError, match="names output 's'; the model gives 't'"):
        check_order((TOP,), ["t"])


def test_numbers_are_compared_by_how_far_and_choices_by_how_many_rows() -> None:
    wanted = {"s": np.array([1, 2, 2]), "t": np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])}
    given_now = {"s": np.array([1, 0, 2]), "t": np.array([[0.0, 1.5], [1.0, 0.0], [0.0, 1.0]])}

    found = differences((TOP,), given_now, wanted)

    assert (found.largest, found.disagreements) == (1.0, 1)


def test_another_top_class_of_the_first_output_is_a_disagreement_also_without_a_choice() -> None:
    wanted = {"s": np.array([[0.0, 1.0], [1.0, 0.0]])}

    found = differences((), {"s": np.array([[0.6, 0.4], [1.0, 0.0]])}, wanted)

    assert (found.largest, found.disagreements) == (0.6, 1)


def test_an_answer_that_is_no_number_is_infinitely_far() -> None:
    assert differences((), {"s": np.array([[np.nan]])}, {"s": np.array([[1.0]])}).largest == math.inf
