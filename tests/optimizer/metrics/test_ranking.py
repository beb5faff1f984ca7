"""The area under the ROC curve agrees with scikit-learn's; its variance with DeLong's definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from optimizer.errors import MetricError
from optimizer.metrics.fidelity import compare
from optimizer.metrics.ranking import Auc, mean_area

_RANDOM = np.random.default_rng(5)
_TWO = _RANDOM.integers(0, 2, size=300)
_SCORES = np.round(_TWO + _RANDOM.normal(size=300), 1)
_FIVE = _RANDOM.integers(0, 5, size=400)
_LOGITS = (2 * np.eye(5)[_FIVE] + _RANDOM.normal(size=(400, 5))).astype(np.float32)


def _judge(answers: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    outputs = {"y": answers.astype(np.float32)}
    return compare(outputs, outputs, labels, Auc()).value


def test_one_output_gives_scikit_learns_area_ties_included() -> None:
    assert _judge(_SCORES, _TWO) == pytest.approx(roc_auc_score(_TWO, _SCORES.astype(np.float32)), abs=1e-12)


def test_two_outputs_are_ranked_by_their_difference() -> None:
    two = np.stack([_RANDOM.normal(size=300), _SCORES], axis=1).astype(np.float32)

    assert _judge(two, _TWO) == pytest.approx(roc_auc_score(_TWO, two[:, 1].astype(float) - two[:, 0]), abs=1e-12)


@pytest.mark.parametrize("as_probabilities", [True, False])
def test_many_classes_give_scikit_learns_mean_of_one_against_the_rest(*, as_probabilities: bool) -> None:
    powers = np.exp(_LOGITS.astype(np.float64))
    softmax = powers / powers.sum(axis=1, keepdims=True)
    expected = roc_auc_score(_FIVE, softmax, multi_class="ovr", average="macro")

    area = _judge(softmax if as_probabilities else _LOGITS, _FIVE)

    assert area == pytest.approx(expected, abs=1e-6)


def test_the_variance_is_delongs_by_its_definition() -> None:
    inside, outside = _SCORES[_TWO == 1], _SCORES[_TWO == 0]
    beats = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
    expected = beats.mean(axis=1).var(ddof=1) / len(inside) + beats.mean(axis=0).var(ddof=1) / len(outside)

    area, parts = mean_area(_SCORES[:, None], _TWO)

    assert area == pytest.approx(beats.mean())
    assert float((parts**2).sum()) == pytest.approx(expected)


def test_pairing_narrows_the_interval() -> None:
    reference = {"y": _LOGITS}
    near = {"y": _LOGITS + 0.01 * _RANDOM.normal(size=_LOGITS.shape).astype(np.float32)}
    other = {"y": _RANDOM.permutation(_LOGITS)}

    close, far = compare(near, reference, _FIVE, Auc()).drop, compare(other, reference, _FIVE, Auc()).drop

    assert close.high - close.low < (far.high - far.low) / 10
    assert far.low > 0.2


def test_a_class_that_no_row_has_is_left_out() -> None:
    labels = np.minimum(_FIVE, 3)

    assert 0.5 < _judge(_LOGITS, labels) < 1


def test_rows_of_one_class_cannot_be_ranked() -> None:
    with pytest.raises(MetricError, match="at least two rows of each of two classes"):
        _judge(_SCORES, np.zeros(300, dtype=np.int64))
