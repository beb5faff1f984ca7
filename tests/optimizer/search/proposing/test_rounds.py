"""Which precisions are tried: what the target computes, and for size what makes the file smaller."""

from __future__ import annotations

import dataclasses

import pytest

from optimizer.benchmark.timing import Effort
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Search
from optimizer.search.case import Bench, Case
from optimizer.search.optimize import search
from optimizer.search.proposing.rounds import floats, whole
from tests.optimizer.builders import a_dataset, a_profile, an_onnx_mlp

BRIEF = Bench(effort=Effort(runs=4, warmup=1, least_runs=2))


def tried(objective: Objective, *, computes_fp16: bool) -> set[str]:
    """Return the labels of all that was tried in the first rounds on a dense network."""
    model = an_onnx_mlp(inputs=64)
    target = dataclasses.replace(a_profile(), computes_fp16=computes_fp16)
    case = Case(model=model, dataset=a_dataset(model), target=target)
    budget = OptimizeBudget(max_drop=0.05)
    found: Search = search(case, (floats, whole), budget=budget, objective=objective, bench=BRIEF)
    return {one.label for one in found.candidates} | {one.label for one in found.failures}


@pytest.mark.slow
def test_half_precision_is_tried_where_the_target_computes_it() -> None:
    labels = tried(Objective.LATENCY, computes_fp16=True)

    assert "onnx fp16" in labels
    assert "onnx int4 weights" not in labels


@pytest.mark.slow
def test_for_size_weights_are_tried_in_sixteen_eight_and_four_bits() -> None:
    labels = tried(Objective.SIZE, computes_fp16=False)

    assert {"onnx fp16 weights", "onnx int8 weights", "onnx int4 weights"} <= labels
    assert "onnx fp16" not in labels
