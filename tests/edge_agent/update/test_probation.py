"""The judgement, figure by figure."""

from __future__ import annotations

import dataclasses
import math

import pytest

from contracts.artifact import read_artifact
from contracts.manifest import ArtifactManifest, Budget, Golden
from edge_agent.errors import ProbationGolden, ProbationLatency, ProbationMemory
from edge_agent.inference.served_model import ServedModel
from edge_agent.serving_port import resident_bytes
from edge_agent.update.probation import Evidence, collect, judge, percentile
from tests.builders import TinyModel, a_tiny_onnx_artifact
from tests.fakes.device import an_artifact
from tests.fakes.serving import FakeModel, Figures

GOOD = Evidence(max_difference=0.0, disagreements=0, latencies_ms=(1.0,) * 60, memory_growth_bytes=1_000_000)


def _manifest(*, budget: Budget | None = None, max_disagreements: int = 0) -> ArtifactManifest:
    manifest = read_artifact(an_artifact(version="1", budget=budget)).manifest
    return dataclasses.replace(manifest, golden=Golden(rows=8, tolerance=0.1, max_disagreements=max_disagreements))


def test_a_release_within_all_its_limits_passes() -> None:
    judge(GOOD, _manifest(budget=Budget(latency_p95_ms=1.0, memory_bytes=1_000_000)))


def test_a_limit_that_was_not_stated_is_not_judged() -> None:
    judge(dataclasses.replace(GOOD, latencies_ms=(1e6,), memory_growth_bytes=10**12), _manifest())


def test_an_output_too_far_away_fails_with_its_figures() -> None:
    with pytest.raises(ProbationGolden, match=r"largest difference 0\.2 \(tolerance 0\.1\)"):
        judge(dataclasses.replace(GOOD, max_difference=0.2), _manifest())


def test_another_top_class_fails_even_within_the_tolerance() -> None:
    with pytest.raises(ProbationGolden, match=r"1 of 8 rows with another top class \(at most 0\)"):
        judge(dataclasses.replace(GOOD, disagreements=1), _manifest())


def test_as_many_other_top_classes_as_are_allowed_pass() -> None:
    judge(dataclasses.replace(GOOD, disagreements=1), _manifest(max_disagreements=1))


def test_a_slow_tail_fails_with_its_figures() -> None:
    latencies = (1.0,) * 56 + (80.0,) * 4

    with pytest.raises(ProbationLatency, match=r"p95 of 60 single-row runs is 80\.000 ms, its budget is 5\.000 ms"):
        judge(dataclasses.replace(GOOD, latencies_ms=latencies), _manifest(budget=Budget(latency_p95_ms=5.0)))


def test_one_slow_run_of_sixty_is_no_tail() -> None:
    latencies = (1.0,) * 59 + (80.0,)

    judge(dataclasses.replace(GOOD, latencies_ms=latencies), _manifest(budget=Budget(latency_p95_ms=5.0)))


def test_too_much_memory_fails_with_its_figures() -> None:
    with pytest.raises(ProbationMemory, match=r"1\.0 MB more resident, its budget is 0\.5 MB"):
        judge(GOOD, _manifest(budget=Budget(memory_bytes=500_000)))


def test_the_first_round_warms_up_and_the_worst_round_counts() -> None:
    model = FakeModel(_manifest(), Figures(max_difference=0.03, disagreements=1, latencies_ms=(2.0,) * 8))

    evidence = collect(model, runs=20, resident_bytes=lambda: 70, resident_before=50)

    assert evidence == Evidence(max_difference=0.03, disagreements=1, latencies_ms=(2.0,) * 24, memory_growth_bytes=20)


def test_an_answer_that_is_no_number_is_as_far_off_as_can_be() -> None:
    model = FakeModel(_manifest(), Figures(max_difference=math.nan))

    evidence = collect(model, runs=1, resident_bytes=lambda: 0, resident_before=0)

    assert evidence.max_difference == math.inf


def test_memory_that_shrank_is_no_growth() -> None:
    model = FakeModel(_manifest(), Figures())

    assert collect(model, runs=1, resident_bytes=lambda: 0, resident_before=50).memory_growth_bytes == 0


def test_a_model_without_latencies_does_not_run_for_ever() -> None:
    model = FakeModel(_manifest(), Figures(latencies_ms=()))

    assert collect(model, runs=1, resident_bytes=lambda: 0, resident_before=0).latencies_ms == ()


@pytest.mark.parametrize(("ratio", "value"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.95, 4.0), (1.0, 4.0)])
def test_a_percentile_is_a_value_that_was_seen(ratio: float, value: float) -> None:
    assert percentile((4.0, 1.0, 3.0, 2.0), ratio) == value


@pytest.mark.slow
def test_a_real_model_passes_and_a_real_slow_one_does_not() -> None:
    budget = Budget(latency_p95_ms=2.0, memory_bytes=200_000_000)
    fast = read_artifact(a_tiny_onnx_artifact(TinyModel(), budget=budget))
    slow = read_artifact(a_tiny_onnx_artifact(TinyModel(slow_products=2000), budget=budget))

    judge(_evidence_of(ServedModel.open(fast)), fast.manifest)
    with pytest.raises(ProbationLatency):
        judge(_evidence_of(ServedModel.open(slow)), slow.manifest)


def _evidence_of(model: ServedModel) -> Evidence:
    return collect(model, runs=40, resident_bytes=resident_bytes, resident_before=resident_bytes())
