"""What is tried in TFLite."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from contracts.manifest import ModelFormat
from optimizer.benchmark.timing import Effort
from optimizer.model import Format, Model
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.case import Bench, Case
from optimizer.search.known import Known
from optimizer.search.making import Attempt
from optimizer.search.optimize import search
from optimizer.search.proposing import litert
from optimizer.search.proposing.rounds import Round, arranged, floats, mixed, repairs, whole
from tests.optimizer.builders import a_dataset, a_profile, an_onnx_mlp
from tests.optimizer.formats.onnx_graphs import graph, node

BRIEF = Bench(effort=Effort(runs=4, warmup=1, least_runs=2))
PRECISIONS = {"tflite int8", "tflite int8 dynamic", "tflite int8 weights", "tflite fp16 weights"}


def a_recurrent_model() -> Model:
    """Return an LSTM over 4 steps of 3 numbers, seeded."""
    chance = np.random.default_rng(2)
    constants = {
        name: chance.standard_normal(shape, dtype=np.float32)
        for name, shape in {"w": (1, 20, 3), "r": (1, 20, 5), "b": (1, 40)}.items()
    }
    steps = (
        node("Transpose", "x", "by_step", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["by_step", "w", "r", "b"], ["", "last"], hidden_size=5),
        node("Squeeze", "last axis", "scores"),
    )
    constants["axis"] = np.asarray([0], dtype=np.int64)
    content = graph(*steps, inputs={"x": (1, 4, 3)}, constants=constants, outputs="scores")
    return Model.from_bytes(Format.ONNX, content, name="steps")


def int8_alone(known: Known) -> tuple[Attempt, ...]:
    """Return the attempt in full int8."""
    tflite = known.tflite_base
    assert tflite is not None
    return tuple(litert.whole(known, tflite))[:1]


def tried(*rounds: Round, full_int8: bool = False, max_drop: float | None = None) -> set[str]:
    """Return the labels of all that was tried in TFLite, for size, on a dense network."""
    model = an_onnx_mlp(inputs=64)
    target = a_profile(formats=(ModelFormat.TFLITE,), full_int8=full_int8)
    case = Case(model=model, dataset=a_dataset(model), target=target)
    budget = OptimizeBudget(max_drop=max_drop)
    found = search(case, (floats, *rounds), budget=budget, objective=Objective.SIZE, bench=BRIEF)
    labels = {one.label for one in found.candidates} | {one.label for one in found.failures}
    return labels - {"tflite float"}


@pytest.mark.slow
def test_for_size_weights_alone_are_tried_too() -> None:
    assert tried(whole, mixed, repairs) == PRECISIONS


@pytest.mark.slow
def test_a_target_of_integers_alone_is_tried_in_full_int8_alone() -> None:
    assert tried(whole, mixed, full_int8=True) == {"tflite int8"}


@pytest.mark.slow
def test_an_int8_file_that_loses_too_much_is_tried_with_other_ranges_and_wider_activations() -> None:
    labels = tried(int8_alone, repairs, max_drop=-1.0)

    assert {"tflite int8, mse", "tflite int8, percentile", "tflite int8, activations of 16 bits"} <= labels


@pytest.mark.slow
def test_recurrent_layers_are_tried_unrolled_too() -> None:
    model = a_recurrent_model()
    case = Case(model=model, dataset=a_dataset(model), target=a_profile(formats=(ModelFormat.TFLITE,)))

    found = search(case, (floats, arranged), objective=Objective.LATENCY, bench=BRIEF)

    assert {one.label for one in found.candidates} == {"tflite float", "tflite float unrolled"}
