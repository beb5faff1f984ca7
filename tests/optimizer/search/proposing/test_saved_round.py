"""The last round: the same answers from shorter files."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contracts.manifest import ModelFormat
from optimizer.benchmark.timing import Effort
from optimizer.model import Format
from optimizer.passes import QuantizeWeights
from optimizer.pipeline import Pipeline
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Search
from optimizer.search.case import Bench, Case
from optimizer.search.known import ONNX_FLOAT, Known
from optimizer.search.making import Attempt
from optimizer.search.optimize import search
from optimizer.search.proposing.rounds import Round, floats, saved, whole
from tests.optimizer.builders import a_dataset, a_profile, an_onnx_mlp

BRIEF = Bench(effort=Effort(runs=4, warmup=1, least_runs=2))
TFLITE_TOO = (ModelFormat.ONNX, ModelFormat.TFLITE)


def weights_alone(known: Known) -> tuple[Attempt, ...]:
    """Return the attempt that keeps the arithmetic float."""
    float_ = known.done(ONNX_FLOAT)
    assert float_ is not None
    return (Attempt(label="weights", pipeline=Pipeline(*float_.attempt.pipeline.steps, QuantizeWeights())),)


def searched(
    objective: Objective, *rounds: Round, formats: Sequence[ModelFormat] = TFLITE_TOO[:1], max_drop: float | None = None
) -> Search:
    """Return a search over some rounds and then the last one."""
    model = an_onnx_mlp(inputs=64)
    case = Case(model=model, dataset=a_dataset(model), target=a_profile(formats=tuple(formats)))
    budget = OptimizeBudget(max_drop=max_drop)
    return search(case, (*rounds, saved), budget=budget, objective=objective, bench=BRIEF)


def forms(found: Search) -> set[str]:
    """Return what was tried in the last round."""
    tried = [one.label for one in found.candidates] + [one.label for one in found.failures]
    return {label for label in tried if label.endswith(("compact", "saved as ORT"))}


@pytest.mark.slow
def test_for_size_the_smallest_of_each_kind_of_quantization_is_written_short() -> None:
    found = searched(Objective.SIZE, floats, whole)

    assert forms(found) == {
        "onnx fp16 weights, compact",
        "onnx int8 dynamic, compact",
        "onnx int8 dynamic, saved optimized, compact",
        "onnx int8 weights, compact",
    }
    assert found.winner is not None
    assert found.winner.label.endswith("compact")


@pytest.mark.slow
def test_weights_in_integers_are_not_folded_to_float_again() -> None:
    assert forms(searched(Objective.SIZE, floats, weights_alone)) == {"weights, compact"}


@pytest.mark.slow
def test_for_latency_the_fastest_alone_is_saved_in_each_form() -> None:
    found = searched(Objective.LATENCY, floats)

    assert {label.partition(", ")[2] for label in forms(found)} == {
        "compact",
        "saved optimized, compact",
        "saved as ORT",
    }
    assert len({label.partition(", ")[0] for label in forms(found)}) == 1


@pytest.mark.slow
def test_nothing_is_saved_otherwise_where_nothing_keeps_accuracy() -> None:
    assert forms(searched(Objective.SIZE, floats, max_drop=-1.0)) == set()


@pytest.mark.slow
def test_an_onnx_file_may_end_up_smaller_than_the_smallest_tflite_file() -> None:
    found = searched(Objective.SIZE, floats, formats=TFLITE_TOO)

    smallest = min(found.candidates, key=lambda one: one.size_bytes)
    assert {one.model.format for one in found.candidates} == {Format.ONNX, Format.TFLITE}
    assert smallest.label.endswith("compact")
