"""The table itself: complete, sound, and every power cut comes home."""

from __future__ import annotations

import pytest

from edge_agent.update.states import TRANSITIONS, Event, IllegalTransition, State, step

BUSY = [state for state in State if state is not State.IDLE]
SUCCESSES = (
    Event.PLANNED,
    Event.FETCHED,
    Event.VERIFIED,
    Event.STAGED,
    Event.SWITCHED,
    Event.PROVED,
    Event.COMMITTED,
    Event.REVERTED,
)


def _next_success(state: State) -> State:
    (event,) = [event for event in SUCCESSES if (state, event) in TRANSITIONS]
    return step(state, event)


def _walk_home(state: State) -> list[State]:
    path = [state]
    while path[-1] is not State.IDLE and len(path) <= len(State):
        path.append(_next_success(path[-1]))
    return path


@pytest.mark.parametrize("state", BUSY)
def test_power_lost_in_any_busy_state_leads_home(state: State) -> None:
    after = step(state, Event.POWER_LOST)

    assert _walk_home(after)[-1] is State.IDLE


@pytest.mark.parametrize("state", BUSY)
def test_power_lost_once_too_often_never_enters_the_same_state_again(state: State) -> None:
    after = step(state, Event.EXHAUSTED)

    assert after in (State.IDLE, State.REVERTING)
    assert state not in _walk_home(after)


@pytest.mark.parametrize("state", BUSY)
def test_every_busy_state_knows_failure(state: State) -> None:
    assert (state, Event.FAILED) in TRANSITIONS


@pytest.mark.parametrize("state", [State.SWITCHING, State.PROBATION, State.COMMITTING])
def test_failure_after_the_switch_is_reverted(state: State) -> None:
    assert step(state, Event.FAILED) is State.REVERTING


@pytest.mark.parametrize("state", [State.PLANNING, State.FETCHING, State.VERIFYING, State.STAGING])
def test_failure_before_the_switch_leaves_what_serves_alone(state: State) -> None:
    assert step(state, Event.FAILED) is State.IDLE


def test_only_probation_leads_to_a_commit() -> None:
    before = {state for (state, _), after in TRANSITIONS.items() if after is State.COMMITTING}

    assert before == {State.PROBATION, State.COMMITTING}


@pytest.mark.parametrize(
    ("state", "event"), sorted({(state, event) for state in State for event in Event} - set(TRANSITIONS))
)
def test_a_pair_that_is_not_in_the_table_is_a_bug(state: State, event: Event) -> None:
    with pytest.raises(IllegalTransition, match=str(event)):
        step(state, event)
