"""Quantities: the rise of the error, and the error relative to the original."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.errors import MetricError
from optimizer.metrics.fidelity import compare
from optimizer.metrics.quantities import RelativeError, Rmse
from tests.optimizer.metrics.answers import column

_TARGETS = np.array([1.0, 2, 3, 4], dtype=np.float32)


def test_quantities_are_judged_by_the_rise_of_rmse() -> None:
    answers, reference = column(2.5, 0.5, 4.5, 2.5), column(2, 3, 4, 5)

    fidelity = compare(answers, reference, _TARGETS, Rmse())

    assert (fidelity.metric, fidelity.unit) == ("rmse", "%")
    assert (fidelity.value, fidelity.original) == (1.5, 1.0)
    assert fidelity.drop.value == pytest.approx(0.5)
    assert fidelity.drop.low <= 0.5 <= fidelity.drop.high


def test_the_interval_of_a_rise_is_of_the_paired_errors() -> None:
    random = np.random.default_rng(1)
    targets = random.normal(size=400).astype(np.float32)
    reference = (targets + random.normal(size=400)).astype(np.float32)
    answers = (reference + 0.01 * random.normal(size=400)).astype(np.float32)

    drop = compare({"y": answers}, {"y": reference}, targets, Rmse()).drop

    # two unpaired errors of 400 rows would be known to about 7 % each
    assert drop.high - drop.low < 0.005


def test_an_original_without_error_is_measured_by_the_spread_of_the_targets() -> None:
    fidelity = compare(column(1.5, 2.5, 3.5, 4.5), column(*_TARGETS), _TARGETS, Rmse())

    assert fidelity.drop.value == pytest.approx(0.5 / float(_TARGETS.std()))


def test_without_targets_the_error_is_relative_to_the_spread_of_the_original() -> None:
    reference = column(0, 2, 4, 6)

    fidelity = compare(column(0.5, 2.5, 4.5, 6.5), reference, None, RelativeError())

    assert (fidelity.metric, fidelity.original) == ("relative_error", 0.0)
    assert fidelity.drop.value == pytest.approx(0.5 / float(reference["y"].std()))
    assert fidelity.value_at(fidelity.drop.value) == pytest.approx(fidelity.value)


def test_every_output_counts_by_its_own_spread() -> None:
    reference = {"small": column(0, 1)["y"], "large": column(0, 1000)["y"]}
    answers = {"small": column(0, 1)["y"], "large": column(500, 1500)["y"]}

    every = compare(answers, reference, None, RelativeError())
    first = compare(answers, reference, None, RelativeError(output="small"))

    assert every.value == pytest.approx(np.sqrt(0.5))
    assert first.value == 0


@pytest.mark.parametrize("metric", [Rmse(), RelativeError()])
def test_the_original_against_itself_drops_by_nothing(metric: Rmse | RelativeError) -> None:
    fidelity = compare(column(2, 3, 4, 6), column(2, 3, 4, 6), _TARGETS, metric)

    assert (fidelity.drop.value, fidelity.drop.low, fidelity.drop.high) == (0, 0, 0)


def test_constant_answers_have_a_relative_error() -> None:
    fidelity = compare(column(4, 4), column(2, 2), None, RelativeError())

    assert fidelity.value == 1.0


@pytest.mark.parametrize(("labels", "words"), [(None, "rmse needs targets"), (np.zeros(3), r"labels \(3,\), output")])
def test_targets_that_do_not_fit_are_refused(labels: np.ndarray | None, words: str) -> None:
    with pytest.raises(MetricError, match=words):
        Rmse().judge(column(1, 2), column(1, 2), labels)
