"""Top classes: against labels, against the original, and of a single output."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.errors import MetricError
from optimizer.metrics.classes import Accuracy, Agreement, cut_of, top_class
from optimizer.metrics.fidelity import compare
from tests.optimizer.metrics.answers import LABELS, THREE, column


def test_accuracy_is_the_share_of_rows_whose_top_class_is_the_label() -> None:
    answers = THREE.copy()
    answers[0] = [0, 5, 0]

    fidelity = compare({"y": answers}, {"y": THREE}, LABELS, Accuracy())

    assert (fidelity.metric, fidelity.n, fidelity.unit) == ("accuracy", 4, "points")
    assert (fidelity.accuracy, fidelity.original) == (0.5, 0.75)
    assert fidelity.drop.value == 0.25
    assert fidelity.others == {"agreement": 0.75, "worst_error": 4.0}


def test_agreement_is_with_the_original_and_needs_no_labels() -> None:
    answers = THREE.copy()
    answers[3] = [0, 0, 1]

    fidelity = compare({"y": answers}, {"y": THREE}, None, Agreement())

    assert (fidelity.metric, fidelity.accuracy) == ("agreement", None)
    assert (fidelity.value, fidelity.original, fidelity.drop.value) == (0.75, 1.0, 0.25)


def test_the_named_output_is_judged() -> None:
    reference = {"first": THREE[::-1], "second": THREE}

    fidelity = compare(reference, reference, LABELS, Accuracy(output="second"))

    assert fidelity.value == 0.75


@pytest.mark.parametrize(
    ("outputs", "cut"), [((0.2, 0.9), 0.5), ((-1.3, 0.2), 0.0), ((0.4, 3.0), 0.0)], ids=["probability", "logit", "odds"]
)
def test_one_output_is_cut_at_one_half_for_probabilities_and_at_zero_for_logits(
    outputs: tuple[float, float], cut: float
) -> None:
    assert cut_of(column(*outputs)["y"]) == cut


def test_a_single_logit_is_judged_by_whole_labels() -> None:
    reference = column(-2.0, 0.3, 0.1, 4.0)
    answers = column(-2.0, 0.3, -0.1, 4.0)

    fidelity = compare(answers, reference, np.array([0, 1, 1, 1], dtype=np.uint8), Accuracy())

    assert (fidelity.original, fidelity.value) == (1.0, 0.75)


def test_a_candidate_is_cut_where_the_original_is() -> None:
    reference = column(-2.0, 0.3, 0.4, 4.0)
    answers = column(0.1, 0.3, 0.4, 0.9)

    fidelity = compare(answers, reference, np.array([0, 1, 1, 1]), Accuracy())

    assert fidelity.value == 0.75


def test_rows_of_one_answer_are_classes_too() -> None:
    assert top_class(np.array([0.2, 0.9], dtype=np.float32)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "accuracy needs labels; add a label to the holdout rows, or choose agreement"),
        (np.array([0.5, 1, 2, 1]), "the labels are quantities such as 0.5; choose rmse"),
        (np.array([0, 1, 2]), r"one label a row: \(3,\) labels for 4 rows"),
        (np.array([0, 1, 2, 3]), r"the labels are 0 to 3, but the output has shape \(4, 3\), 3 classes"),
        (np.array([-1, 1, 2, 0]), "the labels are -1 to 2"),
    ],
)
def test_labels_that_are_no_classes_are_refused_with_the_next_action(labels: np.ndarray | None, words: str) -> None:
    with pytest.raises(MetricError, match=words):
        Accuracy().judge({"y": THREE}, {"y": THREE}, labels)
