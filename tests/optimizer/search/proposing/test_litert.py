"""What is tried in TFLite."""

from __future__ import annotations

import pytest

from contracts.manifest import ModelFormat
from optimizer.benchmark.timing import Effort
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.case import Bench, Case
from optimizer.search.optimize import search
from optimizer.search.proposing.rounds import floats, mixed, repairs, whole
from tests.optimizer.builders import a_dataset, a_profile, an_onnx_mlp

BRIEF = Bench(effort=Effort(runs=4, warmup=1, least_runs=2))
PRECISIONS = {"tflite int8", "tflite int8 dynamic", "tflite int8 weights", "tflite fp16 weights"}


def tried(objective: Objective, *, full_int8: bool = False, max_drop: float | None = None) -> set[str]:
    """Return the labels of all that was tried in TFLite on a dense network."""
    model = an_onnx_mlp(inputs=64)
    target = a_profile(formats=(ModelFormat.TFLITE,), full_int8=full_int8)
    case = Case(model=model, dataset=a_dataset(model), target=target)
    budget = OptimizeBudget(max_drop=max_drop)
    found = search(case, (floats, whole, mixed, repairs), budget=budget, objective=objective, bench=BRIEF)
    labels = {one.label for one in found.candidates} | {one.label for one in found.failures}
    return labels - {"tflite float"}


@pytest.mark.slow
def test_for_size_weights_alone_are_tried_too() -> None:
    assert tried(Objective.SIZE) == PRECISIONS


@pytest.mark.slow
def test_a_target_of_integers_alone_is_tried_in_full_int8_alone() -> None:
    assert tried(Objective.SIZE, full_int8=True) == {"tflite int8"}


@pytest.mark.slow
def test_an_int8_file_that_loses_too_much_is_tried_with_other_ranges_and_wider_activations() -> None:
    labels = tried(Objective.SIZE, max_drop=-1.0)

    assert {"tflite int8, mse", "tflite int8, percentile", "tflite int8, activations of 16 bits"} <= labels
