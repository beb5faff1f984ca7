"""One body of rows parted in two: by chance and class, or by time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.data.rows import ArrayRows
from optimizer.data.splits import Body, DataOptions, Order, split_body, split_places
from optimizer.errors import DatasetError
from tests.optimizer.builders import rows

COUNTS = st.integers(2, 3_000)
OPTIONS = st.builds(
    DataOptions,
    seed=st.integers(0, 99),
    calibration_rows=st.integers(1, 600),
    holdout_share=st.floats(0.01, 1.0),
    order=st.sampled_from(Order),
)


@given(count=COUNTS, options=OPTIONS, classes=st.integers(0, 12))
def test_no_row_is_in_both_splits_and_neither_is_empty(count: int, options: DataOptions, classes: int) -> None:
    label = np.arange(count) % classes if classes else None

    calibration, holdout = split_places(count, label, options)

    both = np.concatenate([calibration, holdout])
    assert len(set(both.tolist())) == len(both)
    assert both.min() >= 0
    assert both.max() < count
    assert 1 <= len(calibration) <= max(1, min(options.calibration_rows, count // 2))
    assert len(holdout) >= 1


@given(count=COUNTS, seed=st.integers(0, 99))
def test_without_a_share_every_row_is_used(count: int, seed: int) -> None:
    calibration, holdout = split_places(count, None, DataOptions(seed=seed))

    assert sorted([*calibration.tolist(), *holdout.tolist()]) == list(range(count))


def test_another_seed_is_another_split_and_the_same_is_the_same() -> None:
    first, again, other = (split_places(100, None, DataOptions(seed=seed))[0].tolist() for seed in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize("most", [50, 100, 333])
def test_classes_come_in_their_shares_in_every_first_part(most: int) -> None:
    label = np.repeat([0, 1, 2], [700, 200, 100])

    calibration, holdout = split_places(1000, label, DataOptions(calibration_rows=most))

    expected = most * np.array([0.7, 0.2, 0.1])
    assert np.abs(np.bincount(label[calibration], minlength=3) - expected).max() <= 1
    assert np.abs(np.bincount(label[holdout[:100]], minlength=3) - [70, 20, 10]).max() <= 2


def test_in_time_the_first_rows_calibrate_and_the_last_ones_judge() -> None:
    options = DataOptions(order=Order.TIME, calibration_rows=10, holdout_share=0.5)

    calibration, holdout = split_places(100, np.zeros(100, dtype=np.int64), options)

    assert calibration.tolist() == list(range(10))
    assert holdout.tolist() == list(range(55, 100))


def test_names_become_indices_in_their_order() -> None:
    label = np.array(["dog", "ant", "dog", "cat"])
    body = Body(rows=ArrayRows({"x": rows((2,), count=4)}), label=label)

    data = split_body(body, DataOptions(order=Order.TIME, calibration_rows=1))

    assert data.labels == ("ant", "cat", "dog")
    assert data.label is not None
    assert data.label.tolist() == [0, 2, 1]


def test_the_digest_of_the_data_covers_the_split_and_the_label() -> None:
    values = ArrayRows({"x": rows((2,), count=40)})
    label = np.arange(40) % 2

    digests = [
        split_body(Body(rows=values, label=given_label), DataOptions(seed=seed)).digest
        for given_label, seed in ((label, 0), (label, 0), (label, 1), (1 - label, 0), (None, 0))
    ]

    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("count", "labels", "words"),
    [(1, 1, "there is 1 row; give at least one to calibrate"), (4, 3, "there are 4 rows but 3 labels")],
)
def test_too_few_rows_or_labels_are_refused(count: int, labels: int, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        split_body(Body(rows=ArrayRows({"x": rows((2,), count=count)}), label=np.arange(labels)), DataOptions())


@pytest.mark.parametrize(
    ("option", "value"), [("calibration_rows", 0), ("holdout_share", 0.0), ("holdout_share", 1.5), ("sample_rate", -1)]
)
def test_options_that_split_nothing_are_refused(option: str, value: float) -> None:
    with pytest.raises(DatasetError, match=option):
        DataOptions(**{option: value})  # type: ignore[arg-type] # each is of its own type
