"""The gate's table: what a wave's counts and evidence lead to, and the reason in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.ids import ProfileName
from contracts.sketch import OutputReference
from contracts.update import UpdateState
from edge_agent.config import ReportingConfig
from fleet_server.rollouts.guard import Against, Evidence, LatencyPair, Standing, Verdict, decide
from fleet_server.rollouts.spec import GateSpec

HEALTHY, FAILED = UpdateState.HEALTHY, UpdateState.FAILED
GATE = GateSpec(soak_s=10.0, patience_s=60.0, min_rows=100)
LENIENT = replace(GATE, max_failed_ratio=0.2, min_devices=5)
SOAKED = Standing(counts={HEALTHY: 2}, soaked_s=10.0)
EVEN = OutputReference(class_counts=(50,) * 4, confidence_counts=(0, 0, 0, 0, 0, 20, 30, 50, 50, 50))
BIASED = OutputReference(class_counts=(170, 10, 10, 10), confidence_counts=EVEN.confidence_counts)
UNSURE = OutputReference(class_counts=EVEN.class_counts, confidence_counts=(100, 100, 0, 0, 0, 0, 0, 0, 0, 0))
FAST = (0,) * 12 + (100,) + (0,) * 20
SLOW = (0,) * 20 + (100,) + (0,) * 12
NONE = Evidence(against=Against.REFERENCE)
ALIKE = Evidence(against=Against.CONTROL, wave_rows=200, control_rows=200, wave=EVEN, control=EVEN)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (UpdateState.REFUSED, "1 refused"),
        (UpdateState.FAILED, "1 failed"),
        (UpdateState.ROLLED_BACK, "1 rolled back"),
        (UpdateState.TIMED_OUT, "1 timed out"),
    ],
)
def test_every_kind_of_failure_halts(failure: UpdateState, words: str) -> None:
    decision = decide(GATE, Standing(counts={failure: 1, HEALTHY: 1}), NONE)

    assert decision.verdict is Verdict.HALT
    assert f"({words})" in decision.reason


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ({FAILED: 1, UpdateState.DOWNLOADING: 9}, Verdict.HOLD),  # 1 of 1, but fewer than min_devices have finished
        ({FAILED: 1, HEALTHY: 4, UpdateState.DOWNLOADING: 5}, Verdict.HOLD),  # 1 of 5 finished is 20 %
        ({FAILED: 2, HEALTHY: 3, UpdateState.DOWNLOADING: 5}, Verdict.HALT),  # 2 of 5 finished, though 2 of 10 in all
        ({FAILED: 3, UpdateState.DOWNLOADING: 7}, Verdict.HALT),  # can no longer come down to 20 % of 10
        ({FAILED: 1, UpdateState.DOWNLOADING: 1}, Verdict.HALT),  # 1 of 2: nor here, min_devices or not
        ({HEALTHY: 4, UpdateState.CANCELLED: 4}, Verdict.HOLD),  # withdrawn devices do not count; not soaked yet
    ],
)
def test_failures_are_a_share_of_the_finished(counts: dict[UpdateState, int], verdict: Verdict) -> None:
    assert decide(LENIENT, Standing(counts=counts), NONE).verdict is verdict


def test_a_wave_in_which_nobody_is_healthy_halts_whatever_may_fail() -> None:
    tolerant = replace(GATE, max_failed_ratio=1.0)

    decision = decide(tolerant, Standing(counts={FAILED: 3}, soaked_s=99.0), ALIKE)

    assert (decision.verdict, decision.reason) == (Verdict.HALT, "no device of the wave is healthy")


def test_a_device_at_work_holds() -> None:
    decision = decide(GATE, Standing(counts={HEALTHY: 1, UpdateState.PROBATION: 1}, soaked_s=99.0), ALIKE)

    assert (decision.verdict, decision.reason) == (Verdict.HOLD, "1 of 2 devices have finished")


def test_a_short_soak_holds() -> None:
    decision = decide(GATE, replace(SOAKED, soaked_s=7.0), ALIKE)

    assert (decision.verdict, decision.reason) == (Verdict.HOLD, "soaking, 3 s to go")


def test_without_traffic_expected_health_is_enough() -> None:
    assert decide(replace(GATE, min_rows=0), SOAKED, NONE).verdict is Verdict.ADVANCE


@pytest.mark.parametrize(("soaked_s", "verdict"), [(10.0, Verdict.HOLD), (69.9, Verdict.HOLD), (70.0, Verdict.HALT)])
def test_missing_evidence_is_waited_for_and_then_no_pass(soaked_s: float, verdict: Verdict) -> None:
    thin = replace(ALIKE, control_rows=99)

    decision = decide(GATE, replace(SOAKED, soaked_s=soaked_s), thin)

    assert decision.verdict is verdict
    assert "99 rows of 100 from the control devices" in decision.reason


def test_a_gate_as_it_comes_outwaits_several_windows_of_an_agent_as_it_comes() -> None:
    assert GateSpec().patience_s >= 2 * ReportingConfig().sketch_window_s


def test_the_reference_needs_no_minimum_of_rows_the_wave_does() -> None:
    against_reference = Evidence(against=Against.REFERENCE, wave_rows=150, control_rows=20, wave=EVEN, control=EVEN)

    assert decide(GATE, SOAKED, against_reference).verdict is Verdict.ADVANCE
    assert decide(GATE, SOAKED, replace(against_reference, wave_rows=99)).verdict is Verdict.HOLD


def test_alike_answers_advance_with_the_figures() -> None:
    decision = decide(GATE, SOAKED, ALIKE)

    assert decision.verdict is Verdict.ADVANCE
    assert "2 of 2 devices healthy; class mix is 0.00 apart, limit 0.25" in decision.reason
    assert "200 rows against 200 of the control devices" in decision.reason


@pytest.mark.parametrize(
    ("answers", "words"), [(BIASED, "class mix is 0.60 apart"), (UNSURE, "confidence is 1.00 apart")]
)
def test_answers_that_depart_halt(answers: OutputReference, words: str) -> None:
    decision = decide(GATE, SOAKED, replace(ALIKE, wave=answers))

    assert decision.verdict is Verdict.HALT
    assert words in decision.reason


def test_a_class_that_only_the_new_release_knows_counts_as_a_departure() -> None:
    wider = replace(EVEN, class_counts=(10, 10, 10, 10, 160))

    assert decide(GATE, SOAKED, replace(ALIKE, wave=wider)).verdict is Verdict.HALT


@pytest.mark.parametrize(("wave", "verdict"), [(FAST, Verdict.ADVANCE), (SLOW, Verdict.HALT)])
def test_a_slower_wave_halts_against_devices_of_its_profile(wave: tuple[int, ...], verdict: Verdict) -> None:
    pair = LatencyPair(profile=ProfileName("raspberry-pi-4"), wave=wave, control=FAST)

    decision = decide(GATE, SOAKED, replace(ALIKE, latencies=(pair,)))

    assert decision.verdict is verdict
    assert "p95 latency on raspberry-pi-4" in decision.reason


def test_a_model_that_is_no_classifier_passes_on_its_rows_alone() -> None:
    silent = OutputReference(class_counts=(), confidence_counts=(0,) * 10)

    decision = decide(GATE, SOAKED, replace(ALIKE, wave=silent, control=silent))

    assert decision.verdict is Verdict.ADVANCE
    assert "no answers that can be compared" in decision.reason
