"""Which rows, classes and sizes of target moved."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.metrics.changes import ClassChange, Move, class_changes, quantity_changes
from optimizer.metrics.interval import paired_drop
from tests.optimizer.metrics.answers import THREE

_LABELS = np.array([0, 1, 0, 2])
_ANSWERS = np.array([[2.0, 2.1, 0], [0, 2, 1], [9, 0, 2], [3, 0, 0]], dtype=np.float32)


def test_rows_that_were_right_come_first_then_those_that_moved_most() -> None:
    changes = class_changes(_ANSWERS, THREE, _LABELS)

    assert (changes.n, changes.count) == (4, 2)
    assert [(row.place, row.before, row.after, row.label) for row in changes.rows] == [(0, 0, 1, 0), (2, 2, 0, 0)]
    assert changes.rows[1].error == 8


def test_no_more_rows_are_named_than_asked_for() -> None:
    changes = class_changes(_ANSWERS, THREE, _LABELS, most=1)

    assert (len(changes.rows), changes.count) == (1, 2)


def test_each_class_has_its_drop_with_its_interval() -> None:
    changes = class_changes(_ANSWERS, THREE, _LABELS)

    drop = paired_drop(np.array([True, False]), np.array([False, True]))
    assert changes.classes[0] == ClassChange(label=0, n=2, original=0.5, candidate=0.5, drop=drop)
    assert [one.n for one in changes.classes] == [2, 1, 1]


def test_moves_between_classes_are_counted_most_frequent_first() -> None:
    reference, answers = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]], np.eye(3, dtype=np.float32)[[1, 1, 1, 0]]

    assert class_changes(answers, reference, None).moves == (
        Move(before=0, after=1, count=2),
        Move(before=2, after=0, count=1),
    )


def test_without_labels_a_class_is_what_the_original_says() -> None:
    changes = class_changes(_ANSWERS, THREE, None)

    assert [(one.label, one.n, one.original) for one in changes.classes] == [(0, 2, 1.0), (1, 1, 1.0), (2, 1, 1.0)]
    assert changes.rows[0].label is None


def test_equal_answers_changed_nothing() -> None:
    changes = class_changes(THREE, THREE, _LABELS)

    assert (changes.count, changes.rows, changes.moves) == (0, (), ())


def test_a_single_logit_changes_its_class_at_zero() -> None:
    reference = np.array([[-1.0], [0.2], [3.0]], dtype=np.float32)

    changes = class_changes(reference - 0.3, reference, None)

    assert [(row.place, row.before, row.after) for row in changes.rows] == [(1, 1, 0)]


def test_of_quantities_those_that_moved_most_are_named_with_the_number_that_did() -> None:
    reference = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]], dtype=np.float32)
    answers = reference + np.array([[0.0, 0.5], [-2.0, 0.1], [0.0, 0.0]], dtype=np.float32)

    changes = quantity_changes(answers, reference, reference + 1)

    assert [(row.place, row.before, row.after, row.label) for row in changes.rows] == [(1, 2, 0, 3), (0, 5, 5.5, 6)]
    assert (changes.count, changes.classes) == (None, ())


def test_errors_are_parted_by_fifths_of_the_target() -> None:
    targets = np.arange(100, dtype=np.float32)
    reference = (targets + 1)[:, None]
    answers = np.where(targets < 20, targets + 3, targets + 1)[:, None].astype(np.float32)

    quantiles = quantity_changes(answers, reference, targets).quantiles

    assert [(one.low, one.high, one.n) for one in quantiles][:2] == [(0, 19, 20), (20, 39, 20)]
    assert (quantiles[0].original, quantiles[0].candidate, quantiles[0].drop.value) == (1, 3, 2)
    assert [one.drop.value for one in quantiles[1:]] == [0, 0, 0, 0]


@pytest.mark.parametrize(("rows", "bins"), [(9, 1), (25, 2), (500, 5)])
def test_few_rows_are_parted_into_few_bins(rows: int, bins: int) -> None:
    targets = np.arange(rows, dtype=np.float32)

    assert len(quantity_changes(targets + 1, targets + 2, targets).quantiles) == bins


def test_without_targets_there_are_no_bins() -> None:
    values = np.arange(30, dtype=np.float32)[:, None]

    assert quantity_changes(values + 1, values, None).quantiles == ()
