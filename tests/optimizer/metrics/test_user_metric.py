"""A metric of the user's own: what it sees, how its interval comes, and what goes wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from optimizer.errors import MetricError
from optimizer.metrics.fidelity import compare
from optimizer.metrics.interval import paired_drop
from optimizer.metrics.user_metric import UserMetric, user_metric

_RANDOM = np.random.default_rng(2)
_LABELS = _RANDOM.integers(0, 4, size=400)
_SCORES = (2 * np.eye(4)[_LABELS] + _RANDOM.normal(size=(400, 4))).astype(np.float32)
_MOVED = (_SCORES + 0.4 * _RANDOM.normal(size=(400, 4))).astype(np.float32)


def top_share(answers: dict[str, NDArray[np.float32]], labels: NDArray[np.int64]) -> float:
    """Return the share of rows whose top class is the label."""
    return float((answers["y"].argmax(axis=1) == labels).mean())


def negated_error(answers: dict[str, NDArray[np.float32]], labels: NDArray[np.int64]) -> float:
    """Return a figure that is no share."""
    return -float(np.abs(answers["y"][:, 0] - labels).mean())


def _written(folder: Path, body: str) -> str:
    file = folder / "mine.py"
    file.write_text(f"def score(answers, labels):\n    {body}\n", encoding="utf-8")
    return f"{file}:score"


def test_the_bootstrap_agrees_with_the_interval_of_the_same_metric() -> None:
    metric = UserMetric(name="m:top_share", function=top_share)

    fidelity = compare({"y": _MOVED}, {"y": _SCORES}, _LABELS, metric)

    known = paired_drop(_SCORES.argmax(axis=1) == _LABELS, _MOVED.argmax(axis=1) == _LABELS)
    assert fidelity.drop.value == pytest.approx(known.value)
    assert fidelity.drop.high - fidelity.drop.low == pytest.approx(known.high - known.low, rel=0.2)
    assert (fidelity.metric, fidelity.unit) == ("m:top_share", "points")


def test_a_figure_that_is_no_share_drops_relative_to_the_originals() -> None:
    metric = UserMetric(name="m:negated_error", function=negated_error)

    fidelity = compare({"y": _MOVED * 2}, {"y": _SCORES}, _LABELS, metric)

    assert fidelity.unit == "%"
    assert fidelity.higher_is_better
    assert fidelity.value_at(fidelity.drop.value) == pytest.approx(fidelity.value)


def test_the_same_seed_gives_the_same_interval() -> None:
    once, again, other = (
        compare({"y": _MOVED}, {"y": _SCORES}, _LABELS, UserMetric(name="m", function=top_share, seed=seed))
        for seed in (3, 3, 4)
    )

    assert once == again
    assert once != other


def test_a_function_in_a_file_sees_every_output_and_the_labels(tmp_path: Path) -> None:
    metric = user_metric(_written(tmp_path, "return float(sorted(answers) == ['boxes', 'y'] and labels is None)"))

    fidelity = compare({"y": _MOVED, "boxes": _MOVED}, {"y": _SCORES, "boxes": _SCORES}, None, metric)

    assert fidelity.value == 1.0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return answers['logits']", r"score\(\) failed: KeyError: 'logits' \(mine.py, line 2\)"),
        ("return None", "gave None, not a finite number"),
        ("return float('nan')", "gave nan, not a finite number"),
        ("return answers", "not a finite number; write f"),
    ],
)
def test_what_a_function_does_wrong_is_one_line(tmp_path: Path, body: str, words: str) -> None:
    metric = user_metric(_written(tmp_path, body))

    with pytest.raises(MetricError, match=words):
        compare({"y": _MOVED}, {"y": _SCORES}, _LABELS, metric)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("no_such_module_here:f", "ModuleNotFoundError"),
        ("math:no_such", "math has no function 'no_such'"),
        ("no_such_file.py:f", "there is no file no_such_file.py"),
        ("json:JSONDecoder", "cannot be called with two arguments"),
    ],
)
def test_what_is_no_metric_is_refused_with_the_reason(where: str, words: str) -> None:
    with pytest.raises(MetricError, match=words):
        user_metric(where)
