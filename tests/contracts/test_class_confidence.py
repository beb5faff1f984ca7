"""Top class and confidence: one rule for the optimizer's reference and the agent's sketches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import TensorError
from contracts.features import class_confidence


def test_probabilities_are_taken_as_they_are() -> None:
    classes, confidences = class_confidence(np.asarray([[0.1, 0.7, 0.2]]))

    assert classes.tolist() == [1]
    assert confidences.tolist() == [0.7]


def test_logits_go_through_softmax() -> None:
    classes, confidences = class_confidence(np.asarray([[2.0, 0.0]]))

    assert classes.tolist() == [0]
    assert confidences[0] == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_an_int8_softmax_that_sums_to_a_little_less_than_one_is_probabilities() -> None:
    _, confidences = class_confidence(np.asarray([[0.98828125, 0.0, 0.0]], dtype=np.float32))

    assert confidences.tolist() == [0.98828125]


@given(seed=st.integers(0, 1000))
def test_a_rows_answer_does_not_depend_on_its_batch(seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(6, 4)).astype(np.float32)
    rows[::2] = 0.25

    together = class_confidence(rows)[1]
    alone = [class_confidence(row[np.newaxis])[1][0] for row in rows]

    np.testing.assert_array_equal(together, alone)


@pytest.mark.filterwarnings("error")
def test_a_row_that_holds_no_number_has_no_confidence() -> None:
    _, confidences = class_confidence(np.asarray([[np.nan, 1.0], [np.inf, 0.0]]))

    assert confidences.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(3,), (3, 1), (2, 3, 4)])
def test_what_is_no_row_of_classes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match="are no classes"):
        class_confidence(np.zeros(shape))
