"""Whole rollouts in a real database, driven by a fake clock: what devices say, what the server does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.ids import DeviceId
from contracts.update import UpdateState
from fleet_server.readmodel import AlertKind
from fleet_server.rollouts.outcome import Outcome
from fleet_server.rollouts.spec import GateSpec
from fleet_server.rollouts.states import RolloutEvent, RolloutState, WaveState
from tests.fleet_server.small_fleet import BIASED_MIX, UNSURE, V1, V2, V3, Fleet, fleet_at

LIVE = GateSpec(soak_s=3.0, patience_s=20.0, min_rows=200)
NO_TRAFFIC = GateSpec(soak_s=3.0, min_rows=0)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Return three devices on release 1, with releases 1, 2 and 3 published."""
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.publish(V2)
    fleet.publish(V3)
    fleet.enroll("pi-1", "pi-2", "pi-3", running=V1)
    return fleet


def test_a_good_release_goes_to_one_canary_then_to_the_rest_and_completes(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)

    fleet.report(canary, UpdateState.DOWNLOADING, running=V1)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.tick(after_s=3.0)
    fleet.window(canary, V2)
    fleet.window(rest[0], V1)
    fleet.tick()
    fleet.report(rest[0], UpdateState.HEALTHY)
    fleet.report(rest[1], UpdateState.HEALTHY)
    fleet.tick(after_s=3.0)
    fleet.window(rest[0], V2)
    fleet.window(rest[1], V2)
    fleet.tick()

    view = fleet.rollout(rollout)
    assert view.state is RolloutState.COMPLETED
    assert view.finished_at == fleet.clock.now()
    assert [wave.state for wave in view.waves] == [WaveState.PASSED, WaveState.PASSED]
    assert "control devices" in view.waves[0].verdict
    assert "own reference" in view.waves[1].verdict
    assert [offer.release for offer in fleet.offers(rest[1])] == [V2]
    assert fleet.alerts() == ()


def test_the_rest_hears_nothing_while_the_canary_works_and_soaks(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)

    fleet.tick(after_s=1.0)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.tick(after_s=2.9)

    assert fleet.rollout(rollout).waves[0].state is WaveState.SOAKING
    assert fleet.offers(rest[0]) == ()
    assert fleet.states(rollout)[rest[0]] is UpdateState.QUEUED


def test_a_canary_that_fails_probation_ends_the_rollout_and_nobody_else_is_touched(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)

    fleet.report(canary, UpdateState.ROLLED_BACK, running=V1, code="probation_latency")
    fleet.tick(after_s=0.5)

    view = fleet.rollout(rollout)
    assert view.state is RolloutState.ROLLED_BACK
    assert "1 rolled back" in view.reason
    assert fleet.part(rollout, canary).code == "probation_latency"
    assert fleet.part(rollout, canary).state is UpdateState.ROLLED_BACK
    assert [offer.release for offer in fleet.offers(canary)] == [V2, V1]
    assert (fleet.offers(rest[0]), fleet.offers(rest[1])) == ((), ())
    assert [fleet.states(rollout)[device] for device in rest] == [UpdateState.CANCELLED] * 2
    assert [alert.kind for alert in fleet.alerts()] == [AlertKind.ROLLOUT]


def test_a_release_with_another_class_mix_is_halted_and_only_the_canary_goes_back(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.tick(after_s=3.0)
    fleet.window(canary, V2, mix=BIASED_MIX, confidence=UNSURE)
    fleet.window(rest[0], V1)
    fleet.window(rest[1], V1)

    fleet.tick()
    halted = fleet.rollout(rollout)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.tick(after_s=0.5)

    assert halted.state is RolloutState.ROLLING_BACK
    assert "class mix is 0.45 apart, limit 0.25" in halted.reason
    assert "confidence" in halted.reason
    assert fleet.rollout(rollout).state is RolloutState.ROLLED_BACK
    assert fleet.part(rollout, canary).state is UpdateState.ROLLED_BACK
    assert fleet.part(rollout, canary).code == Outcome.TAKEN_BACK
    assert [offer.release for offer in fleet.offers(canary)] == [V2, V1]
    assert (fleet.offers(rest[0]), fleet.offers(rest[1])) == ((), ())
    assert fleet.alerts()[0].detail == halted.reason


def test_a_first_install_without_traffic_passes_without_comparison(tmp_path: Path) -> None:
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.enroll("pi-1", "pi-2")
    rollout = fleet.roll_out(V1, gate=NO_TRAFFIC, waves=("100%",))

    fleet.report(DeviceId("pi-1"), UpdateState.HEALTHY)
    fleet.report(DeviceId("pi-2"), UpdateState.HEALTHY)
    fleet.tick(after_s=3.0)

    assert fleet.rollout(rollout).state is RolloutState.COMPLETED
    assert "nothing was to be compared" in fleet.rollout(rollout).waves[0].verdict


def test_silence_after_the_soak_is_no_pass(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.tick(after_s=4.0)
    fleet.window(rest[0], V1)
    fleet.tick()
    waiting = fleet.rollout(rollout)

    fleet.tick(after_s=20.0)

    assert waiting.state is RolloutState.RUNNING
    assert "waiting for evidence: 0 rows of 200 from the wave" in waiting.waves[0].verdict
    assert fleet.rollout(rollout).state is RolloutState.ROLLING_BACK
    assert "not enough evidence: 0 rows of 200 from the wave" in fleet.rollout(rollout).reason


def test_windows_from_before_the_canary_was_healthy_are_no_evidence(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)
    fleet.window(rest[0], V1)
    fleet.clock.pass_s(1.0)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.clock.pass_s(3.0)
    fleet.window(canary, V2)

    fleet.tick()

    assert "0 rows of 200 from the control devices" in fleet.rollout(rollout).waves[0].verdict


def test_a_silent_canary_times_out_and_counts_as_a_failure(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE, device_timeout_s=30.0)
    (canary,) = fleet.wave(rollout, 0)
    fleet.report(canary, UpdateState.DOWNLOADING, running=V1)

    fleet.tick(after_s=30.0)

    view = fleet.rollout(rollout)
    assert view.state is RolloutState.ROLLING_BACK
    assert "1 timed out" in view.reason
    assert fleet.offers(canary)[-1].release == V1


def test_a_rollback_stays_open_until_a_lost_device_is_heard_of_and_says_so(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE, device_timeout_s=30.0)
    (canary,) = fleet.wave(rollout, 0)
    fleet.tick(after_s=30.0)

    fleet.tick(after_s=31.0)
    fleet.tick(after_s=31.0)
    waiting = (fleet.rollout(rollout).state, [alert.title for alert in fleet.alerts()])
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.tick()

    assert waiting[0] is RolloutState.ROLLING_BACK
    assert "1 devices have not gone back from digits@2.0" in waiting[1]
    assert len(waiting[1]) == 2
    assert fleet.rollout(rollout).state is RolloutState.ROLLED_BACK


def test_a_heartbeat_is_word_enough_that_a_device_went_back(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE, device_timeout_s=30.0)
    (canary,) = fleet.wave(rollout, 0)
    fleet.tick(after_s=30.0)
    generation = fleet.offers(canary)[-1].generation

    fleet.heartbeat(canary, running=V1, generation=generation - 1)
    fleet.tick()
    too_early = fleet.rollout(rollout).state
    fleet.heartbeat(canary, running=V1, generation=generation)
    fleet.tick()

    assert too_early is RolloutState.ROLLING_BACK
    assert fleet.rollout(rollout).state is RolloutState.ROLLED_BACK


def test_a_device_that_cannot_go_back_keeps_the_rollback_open(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC)
    (canary,) = fleet.wave(rollout, 0)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.change(rollout, RolloutEvent.ROLLBACK)
    fleet.tick()

    fleet.report(canary, UpdateState.FAILED, running=V2, code="disk_full")
    fleet.tick()

    assert fleet.rollout(rollout).state is RolloutState.ROLLING_BACK
    assert fleet.part(rollout, canary).code == "disk_full"


def test_a_first_release_that_fails_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.enroll("pi-1", "pi-2")
    rollout = fleet.roll_out(V1, gate=NO_TRAFFIC, waves=("100%",))
    fleet.report(DeviceId("pi-1"), UpdateState.HEALTHY)
    fleet.report(DeviceId("pi-2"), UpdateState.FAILED, code="disk_full")

    fleet.tick()

    assert fleet.rollout(rollout).state is RolloutState.ROLLED_BACK
    assert fleet.part(rollout, DeviceId("pi-1")).code == Outcome.NO_PREVIOUS_RELEASE
    assert fleet.part(rollout, DeviceId("pi-2")).code == "disk_full"
    assert len(fleet.offers(DeviceId("pi-1"))) == 1


def test_a_refusal_opens_an_alert_with_the_devices_reason(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,) = fleet.wave(rollout, 0)

    fleet.report(canary, UpdateState.REFUSED, running=V1, code="signature_invalid")
    fleet.report(canary, UpdateState.REFUSED, running=V1, code="signature_invalid")

    (alert,) = fleet.alerts()
    assert (alert.kind, alert.device, alert.release, alert.rollout) == (AlertKind.REFUSAL, canary, V2, rollout)
    assert "signature_invalid" in alert.detail


def test_without_roll_back_on_failure_a_failed_gate_waits_for_a_person(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE, roll_back_on_failure=False)
    (canary,) = fleet.wave(rollout, 0)
    fleet.report(canary, UpdateState.FAILED, running=V1, code="disk_full")

    fleet.tick()
    halted = fleet.rollout(rollout).state
    fleet.change(rollout, RolloutEvent.ROLLBACK)
    fleet.tick()

    assert halted is RolloutState.HALTED
    assert fleet.rollout(rollout).state is RolloutState.ROLLED_BACK


def test_a_paused_rollout_opens_no_wave_until_it_is_resumed(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.change(rollout, RolloutEvent.PAUSE)

    fleet.tick(after_s=10.0)
    paused = fleet.offers(rest[0])
    fleet.change(rollout, RolloutEvent.RESUME)
    fleet.tick()

    assert paused == ()
    assert [offer.release for offer in fleet.offers(rest[0])] == [V2]


def test_an_abort_withdraws_what_was_not_offered_and_leaves_the_rest_alone(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)

    view = fleet.change(rollout, RolloutEvent.ABORT)
    fleet.tick(after_s=100.0)

    assert (view.state, view.reason) == (RolloutState.ABORTED, "abort by ada")
    assert fleet.states(rollout) == {
        canary: UpdateState.OFFERED,
        rest[0]: UpdateState.CANCELLED,
        rest[1]: UpdateState.CANCELLED,
    }
    assert len(fleet.offers(canary)) == 1


def test_a_completed_rollout_can_be_taken_back_by_a_person(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC, waves=("100%",))
    devices = fleet.wave(rollout, 0)
    fleet.report(devices[0], UpdateState.HEALTHY)
    fleet.report(devices[1], UpdateState.HEALTHY)
    fleet.report(devices[2], UpdateState.HEALTHY)
    fleet.tick(after_s=3.0)
    completed = fleet.rollout(rollout).state

    fleet.change(rollout, RolloutEvent.ROLLBACK)
    fleet.tick()

    assert completed is RolloutState.COMPLETED
    assert [fleet.offers(device)[-1].release for device in devices] == [V1, V1, V1]


def test_a_rollback_leaves_devices_alone_that_a_newer_rollout_has_taken_over(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC, waves=("100%",))
    devices = fleet.wave(rollout, 0)
    fleet.change(rollout, RolloutEvent.ABORT)
    newer = fleet.roll_out(V3, gate=NO_TRAFFIC, waves=("100%",))

    fleet.change(rollout, RolloutEvent.ROLLBACK)
    fleet.tick()

    assert [fleet.offers(device)[-1].release for device in devices] == [V3, V3, V3]
    assert fleet.rollout(newer).state is RolloutState.RUNNING


def test_replayed_late_and_stale_reports_change_nothing(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,) = fleet.wave(rollout, 0)
    first = fleet.offers(canary)[0]
    fleet.report(canary, UpdateState.ROLLED_BACK, running=V1, code="probation_latency")
    before = fleet.rollout(rollout)

    fleet.report(canary, UpdateState.DOWNLOADING, running=V1, offer=first)
    fleet.report(canary, UpdateState.HEALTHY, running=V1, offer=first)
    fleet.report(canary, UpdateState.ROLLED_BACK, running=V1, code="again", offer=first)

    assert fleet.rollout(rollout) == before


@pytest.mark.parametrize("word", [UpdateState.QUEUED, UpdateState.TIMED_OUT, UpdateState.CANCELLED])
def test_a_device_cannot_say_what_is_the_servers_to_say(fleet: Fleet, word: UpdateState) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,) = fleet.wave(rollout, 0)

    fleet.report(canary, word, running=V1)

    assert fleet.states(rollout)[canary] is UpdateState.OFFERED


def test_a_device_on_which_the_release_failed_is_no_control(tmp_path: Path) -> None:
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.publish(V2)
    fleet.enroll("pi-1", "pi-2", running=V1)
    tolerant = replace(LIVE, max_failed_ratio=0.5, min_devices=2)
    rollout = fleet.roll_out(V2, gate=tolerant, waves=("100%",))
    fleet.report(DeviceId("pi-1"), UpdateState.FAILED, running=V1, code="disk_full")
    fleet.report(DeviceId("pi-2"), UpdateState.HEALTHY)
    fleet.clock.pass_s(3.0)
    fleet.window(DeviceId("pi-1"), V1, mix=BIASED_MIX)
    fleet.window(DeviceId("pi-2"), V2)

    fleet.tick()

    assert fleet.rollout(rollout).state is RolloutState.COMPLETED
    assert "1 of 2 devices healthy" in fleet.rollout(rollout).waves[0].verdict
    assert "own reference" in fleet.rollout(rollout).waves[0].verdict


def test_a_word_about_the_first_attempt_does_not_count_for_the_way_back(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,) = fleet.wave(rollout, 0)
    first = fleet.offers(canary)[0]
    fleet.change(rollout, RolloutEvent.ROLLBACK)
    fleet.tick()

    fleet.report(canary, UpdateState.HEALTHY, running=V2, offer=first)
    fleet.tick()

    assert fleet.rollout(rollout).state is RolloutState.ROLLING_BACK


def test_ticks_without_news_repeat_no_offer(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=LIVE)
    (canary,) = fleet.wave(rollout, 0)

    fleet.tick()
    fleet.tick(after_s=1.0)
    fleet.tick(after_s=1.0)

    assert len(fleet.offers(canary)) == 1


@pytest.mark.parametrize("step", range(4))
def test_a_server_that_is_restarted_at_any_step_carries_on(fleet: Fleet, step: int) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC)
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)
    restart = [lambda: None] * 4
    restart[step] = fleet.restart

    restart[0]()
    fleet.report(canary, UpdateState.HEALTHY)
    restart[1]()
    fleet.tick(after_s=3.0)
    restart[2]()
    fleet.report(rest[0], UpdateState.HEALTHY)
    fleet.report(rest[1], UpdateState.HEALTHY)
    restart[3]()
    fleet.tick(after_s=3.0)

    assert fleet.rollout(rollout).state is RolloutState.COMPLETED
    assert [len(fleet.offers(device)) for device in (canary, *rest)] == [1, 1, 1]
