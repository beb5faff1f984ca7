"""The metric follows from the data, or from its name; a wrong name is told the nearest."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from optimizer.errors import MetricError
from optimizer.metrics.choosing import METRICS, choose_metric
from optimizer.metrics.fidelity import compare
from tests.optimizer.metrics.answers import LABELS, THREE, column, unit_rows

_QUANTITY = np.array([[1.5], [2.0], [7.0], [3.0]], dtype=np.float32)
_BOXES = np.zeros((4, 10, 4), dtype=np.float32)


@pytest.mark.parametrize(
    ("outputs", "labels", "expected"),
    [
        (THREE, LABELS, "accuracy"),
        (THREE, LABELS.astype(np.uint8), "accuracy"),
        (THREE, LABELS.astype(np.float64), "accuracy"),
        (_QUANTITY, np.array([0, 1, 1, 0]), "accuracy"),
        (_QUANTITY, np.array([False, True, True, False]), "accuracy"),
        (_QUANTITY, np.array([18, 70, 33, 41]), "rmse"),
        (_QUANTITY, np.array([0.5, 2.5, 6.5, 3.0]), "rmse"),
        (THREE, THREE + 0.5, "rmse"),
        (THREE, None, "agreement"),
        (unit_rows(count=4, width=6), None, "cosine"),
        (_QUANTITY, None, "relative_error"),
        (_BOXES, None, "relative_error"),
        (np.tile(THREE[:1], (4, 1)), None, "relative_error"),
    ],
)
def test_the_data_choose_the_metric(
    outputs: NDArray[np.float32], labels: NDArray[np.generic] | None, expected: str
) -> None:
    metric = choose_metric("", {"y": outputs}, labels)

    assert metric.name == expected


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_can_be_named_and_finds_no_drop_of_the_original_itself(name: str) -> None:
    reference = {"y": np.concatenate([THREE, THREE])}
    labels = reference["y"] + 1 if name == "rmse" else np.concatenate([LABELS, LABELS])
    metric = choose_metric(name, reference, labels)

    fidelity = compare(reference, reference, labels, metric)

    assert fidelity.metric == name
    assert fidelity.drop.value == pytest.approx(0, abs=1e-12)
    assert fidelity.drop.low <= fidelity.drop.value <= fidelity.drop.high


def test_a_function_is_a_metric_by_its_place() -> None:
    metric = choose_metric("tests.optimizer.metrics.test_user_metric:top_share", {"y": THREE}, LABELS)

    assert metric.name == "tests.optimizer.metrics.test_user_metric:top_share"


def test_a_misspelt_metric_is_told_the_nearest() -> None:
    with pytest.raises(MetricError, match="there is no metric 'acuracy', the nearest is 'accuracy'"):
        choose_metric("acuracy", {"y": THREE}, LABELS)


def test_a_metric_that_is_near_none_is_told_all() -> None:
    with pytest.raises(MetricError, match=r"there is no metric 'zzz'; choose one of accuracy, auc, .*module:function"):
        choose_metric("zzz", {"y": THREE}, LABELS)


def test_a_misspelt_output_is_told_the_nearest() -> None:
    with pytest.raises(MetricError, match="there is no output 'score', the nearest is 'scores'"):
        choose_metric("", {"scores": THREE}, LABELS, output="score")


@pytest.mark.parametrize(
    ("name", "labels", "words"),
    [
        ("auc", None, "auc needs labels"),
        ("accuracy", np.array([0.5, 1, 2, 3]), "quantities"),
        ("", np.array([0, 1, 2, 9]), "labels are 0 to 9"),
        ("", np.array([0.5, 1, 2, 9]), "needs a target for each number of the output"),
    ],
)
def test_labels_that_the_metric_cannot_read_are_refused_before_any_work(
    name: str, labels: NDArray[np.generic] | None, words: str
) -> None:
    with pytest.raises(MetricError, match=words):
        choose_metric(name, {"y": THREE}, labels)


def test_the_named_output_is_the_one_that_chooses() -> None:
    metric = choose_metric("", {"boxes": _BOXES, "scores": THREE}, LABELS, output="scores")

    fidelity = compare({"boxes": _BOXES, "scores": THREE}, {"boxes": _BOXES, "scores": THREE}, LABELS, metric)

    assert (fidelity.metric, fidelity.value) == ("accuracy", 0.75)


def test_a_sigmoid_of_one_number_is_judged_by_whole_labels() -> None:
    reference = column(0.1, 0.7, 0.6, 0.2)

    metric = choose_metric("", reference, np.array([0, 1, 1, 1], dtype=np.uint8))

    assert compare(reference, reference, np.array([0, 1, 1, 1], dtype=np.uint8), metric).value == 0.75
