"""What a manifest promises must bound something: a NaN passes every comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from contracts.artifact import read_artifact
from contracts.manifest import Budget, Golden
from contracts.postprocessing import AnswerStep, AnswerStepKind
from tests.builders import OUTPUT, TinyModel, a_tiny_tflite_artifact


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Golden(rows=8, tolerance=math.nan), "tolerance nan is not a finite number"),
        (lambda: Golden(rows=8, tolerance=math.inf), "tolerance inf is not a finite number"),
        (lambda: Golden(rows=8, tolerance=-0.1), "tolerance -0.1 is not a finite number"),
        (lambda: Golden(rows=8, tolerance=0.1, max_disagreements=-1), "max_disagreements -1 is not"),
        (lambda: Golden(rows=0, tolerance=0.1), "rows 0 is not positive"),
        (lambda: Budget(latency_p95_ms=math.nan), "latency_p95_ms nan is not a finite number"),
        (lambda: Budget(latency_p95_ms=-1.0), "latency_p95_ms -1.0 is not a finite number"),
        (lambda: Budget(memory_bytes=-1), "memory_bytes -1 is not a finite number"),
    ],
)
def test_a_check_that_checks_nothing_is_refused(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make()


@pytest.mark.parametrize("threads", [-5, 0, 10**9])
def test_threads_that_no_runtime_can_start_are_refused(threads: int) -> None:
    manifest = read_artifact(a_tiny_tflite_artifact(TinyModel(hidden=2))).manifest

    with pytest.raises(ValueError, match=f"threads {threads} is not between 1 and"):
        replace(manifest, threads=threads)


def test_an_exact_answer_and_no_budget_are_allowed() -> None:
    assert Golden(rows=1, tolerance=0.0).tolerance == 0.0
    assert Budget() == Budget(latency_p95_ms=None, memory_bytes=None)


def test_steps_after_the_model_name_its_outputs_and_choose_last() -> None:
    manifest = read_artifact(a_tiny_tflite_artifact(TinyModel(hidden=2))).manifest
    top, scale = (AnswerStep(kind=kind, tensor=OUTPUT) for kind in (AnswerStepKind.TOP_CLASS, AnswerStepKind.SCALE))

    assert replace(manifest, postprocessing=(scale, top)).postprocessing == (scale, top)
    with pytest.raises(ValueError, match="scale follows a choice"):
        replace(manifest, postprocessing=(top, scale))
    with pytest.raises(ValueError, match="names output 'x'"):
        replace(manifest, postprocessing=(replace(top, tensor="x"),))


def test_schema_1_has_no_steps_after_the_model() -> None:
    manifest = read_artifact(a_tiny_tflite_artifact(TinyModel(hidden=2))).manifest

    with pytest.raises(ValueError, match="schema 1 has no postprocessing"):
        replace(manifest, schema=1, postprocessing=(AnswerStep(kind=AnswerStepKind.SOFTMAX, tensor=OUTPUT),))
