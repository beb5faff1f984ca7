"""Comparing refuses what is no number, and says what n cannot resolve."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.errors import MeasureFailed
from optimizer.metrics.classes import Accuracy
from optimizer.metrics.fidelity import Fidelity, compare, resolution_note, rows_to_resolve
from optimizer.metrics.interval import Interval
from optimizer.metrics.quantities import RelativeError, Rmse
from tests.optimizer.metrics.answers import LABELS, THREE, column


def _fidelity(drop: float, *, half_width: float = 0.006, n: int = 1000) -> Fidelity:
    return Fidelity(
        metric="accuracy",
        n=n,
        value=0.9 - drop,
        original=0.9,
        drop=Interval(value=drop, low=drop - half_width, high=drop + half_width),
        unit="points",
        others={},
    )


def test_the_worst_error_is_that_of_any_output() -> None:
    reference = {"scores": THREE, "boxes": np.zeros((4, 2, 2), dtype=np.float32)}
    answers = {"scores": THREE, "boxes": np.full((4, 2, 2), 0.5, dtype=np.float32)}

    fidelity = compare(answers, reference, LABELS, Accuracy())

    assert fidelity.others == {"agreement": 1.0, "worst_error": 0.5}


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_a_failure_and_no_pass(broken: float) -> None:
    answers = {"y": THREE.copy()}
    answers["y"][2, 1] = broken

    with pytest.raises(MeasureFailed, match="output 'y' is no finite number in 1 of 4 rows"):
        compare(answers, {"y": THREE}, LABELS, Accuracy())


def test_a_row_that_the_original_leaves_infinite_is_no_failure_of_the_candidate() -> None:
    scores = THREE.copy()
    scores[0, 2] = -np.inf

    fidelity = compare({"y": scores}, {"y": scores}, LABELS, Accuracy())

    assert fidelity.drop.value == 0
    assert fidelity.others["worst_error"] == 0


def test_a_metric_that_comes_to_no_number_is_a_failure() -> None:
    reference = column(1.0, np.nan, 3.0)

    with pytest.raises(MeasureFailed, match="relative_error comes to nan"):
        compare(reference, reference, None, RelativeError())


@pytest.mark.parametrize("answers", [{}, {"y": THREE[:, :2]}])
def test_answers_of_another_form_are_named(answers: dict[str, np.ndarray]) -> None:
    with pytest.raises(MeasureFailed, match=r"output 'y' (is missing|has shape \(4, 2\)), the original's has \(4, 3\)"):
        compare(answers, {"y": THREE}, LABELS, Accuracy())


def test_value_at_turns_a_drop_into_the_metric() -> None:
    targets = np.array([1.0, 2, 3, 4])
    answers, reference = column(2.5, 0.5, 4.5, 2.5), column(2, 3, 4, 5)

    share = _fidelity(0.01)
    error = compare(answers, reference, targets, Rmse())

    assert share.value_at(0.01) == pytest.approx(share.value)
    assert error.value_at(error.drop.value) == pytest.approx(error.value)
    assert (share.higher_is_better, error.higher_is_better) == (True, False)
    assert (share.change, error.change) == ("accuracy falls", "RMSE rises")


def test_figures_are_in_the_words_of_their_metric() -> None:
    cosine = dataclasses.replace(_fidelity(0), metric="cosine")

    assert _fidelity(0).in_words(0.912) == "91.20 %"
    assert cosine.in_words(0.99831) == "0.9983"


def test_what_n_cannot_resolve_is_said_in_one_plain_sentence() -> None:
    note = resolution_note(_fidelity(0.002), 0.005)

    assert note == (
        "n = 1000 cannot resolve a drop of 0.5 points: the 95 % interval of the paired difference reaches from "
        "-0.40 to +0.80 points; about 8,200 rows would"
    )


@pytest.mark.parametrize("budget", [None, 0.009, -0.005])
def test_what_n_resolves_needs_no_note(budget: float | None) -> None:
    assert resolution_note(_fidelity(0.002), budget) is None


def test_a_drop_at_the_budget_itself_is_said_to_need_no_practical_number_of_rows() -> None:
    note = resolution_note(_fidelity(0.005), 0.005)

    assert note is not None
    assert "the measured drop lies at the budget itself" in note


@given(st.floats(0, 0.02), st.floats(0.0005, 0.02), st.floats(0.001, 0.03))
def test_the_rows_that_would_resolve_are_always_more_than_these(drop: float, budget: float, half_width: float) -> None:
    wanted = rows_to_resolve(_fidelity(drop, half_width=half_width), budget)

    assert wanted is None or wanted > 1000
