"""Every pair of state and event is in its table or refused, and every way through ends."""

from __future__ import annotations

from itertools import product

import pytest

from contracts.update import UpdateState
from fleet_server.rollouts.errors import TransitionRefused
from fleet_server.rollouts.states import (
    BUSY,
    REPORTABLE,
    ROLLOUT_TRANSITIONS,
    UNDER_WAY,
    WAVE_TRANSITIONS,
    WENT_BACK_BY_ITSELF,
    RolloutEvent,
    RolloutState,
    WaveEvent,
    WaveState,
    after_going_back,
    step_rollout,
    step_wave,
    takes_report,
)

UNLISTED_ROLLOUT = [pair for pair in product(RolloutState, RolloutEvent) if pair not in ROLLOUT_TRANSITIONS]
UNLISTED_WAVE = [pair for pair in product(WaveState, WaveEvent) if pair not in WAVE_TRANSITIONS]


def reachable(start: RolloutState) -> set[RolloutState]:
    """Return the states that can follow, the start included."""
    seen = {start}
    while more := {after for (at, _), after in ROLLOUT_TRANSITIONS.items() if at in seen} - seen:
        seen |= more
    return seen


@pytest.mark.parametrize(("state", "event"), list(ROLLOUT_TRANSITIONS))
def test_a_listed_pair_leads_to_its_state(state: RolloutState, event: RolloutEvent) -> None:
    assert step_rollout(state, event) is ROLLOUT_TRANSITIONS[state, event]


@pytest.mark.parametrize(("state", "event"), UNLISTED_ROLLOUT)
def test_any_other_pair_is_refused_for_a_rollout(state: RolloutState, event: RolloutEvent) -> None:
    with pytest.raises(TransitionRefused, match=f"{state.value} does not take '{event.value}'"):
        step_rollout(state, event)


@pytest.mark.parametrize(("state", "event"), UNLISTED_WAVE)
def test_any_other_pair_is_refused_for_a_wave(state: WaveState, event: WaveEvent) -> None:
    with pytest.raises(TransitionRefused):
        step_wave(state, event)


def test_a_refusal_names_what_is_possible_instead() -> None:
    with pytest.raises(TransitionRefused, match="possible now: resume, abort, rollback"):
        step_rollout(RolloutState.PAUSED, RolloutEvent.PAUSE)


@pytest.mark.parametrize("state", list(RolloutState))
def test_every_rollout_can_come_to_an_end(state: RolloutState) -> None:
    assert reachable(state) - UNDER_WAY


@pytest.mark.parametrize("state", sorted(UNDER_WAY))
def test_a_person_can_always_end_a_rollout_that_is_under_way(state: RolloutState) -> None:
    assert step_rollout(state, RolloutEvent.ABORT) is RolloutState.ABORTED


def test_no_wave_passes_without_a_soak() -> None:
    assert {state for (state, event) in WAVE_TRANSITIONS if event is WaveEvent.PASS} == {WaveState.SOAKING}


def test_the_end_of_an_attempt_takes_no_report() -> None:
    ends = [state for state in UpdateState if state.is_final]

    assert not any(takes_report(end, reported) for end, reported in product(ends, UpdateState))


def test_a_device_at_work_takes_every_word_that_is_its_to_give() -> None:
    assert all(takes_report(busy, reported) for busy, reported in product(BUSY, REPORTABLE))


@pytest.mark.parametrize(
    "state", [UpdateState.QUEUED, UpdateState.OFFERED, UpdateState.TIMED_OUT, UpdateState.CANCELLED]
)
def test_what_the_server_decides_no_device_can_say(state: UpdateState) -> None:
    assert not takes_report(UpdateState.OFFERED, state)


def test_on_the_way_back_only_health_is_an_end() -> None:
    assert after_going_back(UpdateState.HEALTHY) is UpdateState.ROLLED_BACK
    assert {after_going_back(state) for state in WENT_BACK_BY_ITSELF} == {UpdateState.OFFERED}
    assert after_going_back(UpdateState.DOWNLOADING) is UpdateState.DOWNLOADING
