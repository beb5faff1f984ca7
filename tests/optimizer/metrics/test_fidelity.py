"""How far a candidate is from the original, and what n allows to say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.metrics.fidelity import Interval, Metric, compare, paired_drop, resolution_note, top_class

_REFERENCE = np.array([[2.0, 1, 0], [0, 2, 1], [1, 0, 2], [3, 0, 0]], dtype=np.float32)
_LABELS = np.array([0, 1, 2, 1])


def test_accuracy_is_the_share_of_rows_whose_top_class_is_the_label() -> None:
    answers = _REFERENCE.copy()
    answers[0] = [0, 5, 0]

    fidelity = compare(answers, _REFERENCE, _LABELS)

    assert (fidelity.metric, fidelity.n) == (Metric.ACCURACY, 4)
    assert (fidelity.accuracy, fidelity.original) == (0.5, 0.75)
    assert fidelity.drop.value == 0.25
    assert fidelity.agreement == 0.75
    assert fidelity.worst_error == 4.0


def test_without_labels_agreement_stands_for_accuracy() -> None:
    answers = _REFERENCE.copy()
    answers[3] = [0, 0, 1]

    fidelity = compare(answers, _REFERENCE, None)

    assert (fidelity.metric, fidelity.accuracy) == (Metric.AGREEMENT, None)
    assert fidelity.value == 0.75
    assert fidelity.drop.value == 0.25


def test_quantities_are_judged_by_the_rise_of_rmse() -> None:
    targets = np.array([1.0, 2, 3, 4], dtype=np.float32)
    reference = (targets + 1)[:, None]
    answers = (targets + np.array([1.5, -1.5, 1.5, -1.5], dtype=np.float32))[:, None]

    fidelity = compare(answers, reference, targets)

    assert fidelity.metric is Metric.RMSE
    assert (fidelity.value, fidelity.original) == (1.5, 1.0)
    assert fidelity.drop.value == pytest.approx(0.5)


def test_quantities_without_targets_are_judged_against_the_spread_of_the_original() -> None:
    reference = np.array([[0.0], [2.0], [4.0], [6.0]], dtype=np.float32)

    fidelity = compare(reference + 0.5, reference, None)

    assert fidelity.drop.value == pytest.approx(0.5 / float(reference.std()))


def test_a_single_output_is_a_class_where_labels_are_classes() -> None:
    assert top_class(np.array([[0.2], [0.9]], dtype=np.float32)).tolist() == [0, 1]


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


def test_what_n_cannot_resolve_is_said_in_words() -> None:
    fidelity = compare(_REFERENCE, _REFERENCE, _LABELS)

    note = resolution_note(fidelity, 0.01)

    assert note is not None
    assert note.startswith("4 holdout rows cannot resolve a drop of 1 points")


def test_what_n_resolves_needs_no_note() -> None:
    fidelity = compare(np.tile(_REFERENCE, (2000, 1)), np.tile(_REFERENCE, (2000, 1)), np.tile(_LABELS, 2000))

    assert fidelity.drop == Interval(value=0.0, low=fidelity.drop.low, high=fidelity.drop.high)
    assert resolution_note(fidelity, 0.01) is None
