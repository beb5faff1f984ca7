"""Where a rollout, a wave and a device's part in a rollout can go: three tables and nothing else.

No other line of the server decides which state follows which. A pair that is not in a table is
refused; ``tests/fleet_server/rollouts/test_states.py`` tries every pair.

>>> step_rollout(RolloutState.RUNNING, RolloutEvent.PAUSE)
<RolloutState.PAUSED: 'paused'>
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from contracts.update import UpdateState
from fleet_server.rollouts.errors import TransitionRefused


class RolloutState(StrEnum):
    """Where a rollout is."""

    RUNNING = "running"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    HALTED = "halted"
    """A gate failed and the spec said not to roll back; a person decides."""


class WaveState(StrEnum):
    """Where a wave is."""

    PENDING = "pending"
    OPEN = "open"
    SOAKING = "soaking"
    PASSED = "passed"
    FAILED = "failed"


class RolloutEvent(StrEnum):
    """What happens to a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    """A person ends it: nothing more is offered, nothing is taken back."""
    ROLLBACK = "rollback"
    """The devices that were offered the release are to go back: a person's word, or a failed gate."""
    HALT = "halt"
    """A gate failed and the spec leaves the rest to a person."""
    LAST_WAVE_PASSED = "last_wave_passed"
    ALL_WENT_BACK = "all_went_back"


class WaveEvent(StrEnum):
    """What happens to a wave."""

    OPEN = "open"
    ALL_FINISHED = "all_finished"
    PASS = "pass"  # noqa: S105 - a gate's verdict, no secret
    FAIL = "fail"


ROLLOUT_TRANSITIONS: Mapping[tuple[RolloutState, RolloutEvent], RolloutState] = MappingProxyType(
    {
        (RolloutState.RUNNING, RolloutEvent.PAUSE): RolloutState.PAUSED,
        (RolloutState.RUNNING, RolloutEvent.ABORT): RolloutState.ABORTED,
        (RolloutState.RUNNING, RolloutEvent.ROLLBACK): RolloutState.ROLLING_BACK,
        (RolloutState.RUNNING, RolloutEvent.HALT): RolloutState.HALTED,
        (RolloutState.RUNNING, RolloutEvent.LAST_WAVE_PASSED): RolloutState.COMPLETED,
        (RolloutState.PAUSED, RolloutEvent.RESUME): RolloutState.RUNNING,
        (RolloutState.PAUSED, RolloutEvent.ABORT): RolloutState.ABORTED,
        (RolloutState.PAUSED, RolloutEvent.ROLLBACK): RolloutState.ROLLING_BACK,
        (RolloutState.HALTED, RolloutEvent.ABORT): RolloutState.ABORTED,
        (RolloutState.HALTED, RolloutEvent.ROLLBACK): RolloutState.ROLLING_BACK,
        (RolloutState.ROLLING_BACK, RolloutEvent.ABORT): RolloutState.ABORTED,
        (RolloutState.ROLLING_BACK, RolloutEvent.ALL_WENT_BACK): RolloutState.ROLLED_BACK,
        (RolloutState.COMPLETED, RolloutEvent.ROLLBACK): RolloutState.ROLLING_BACK,
        (RolloutState.ABORTED, RolloutEvent.ROLLBACK): RolloutState.ROLLING_BACK,
    }
)

WAVE_TRANSITIONS: Mapping[tuple[WaveState, WaveEvent], WaveState] = MappingProxyType(
    {
        (WaveState.PENDING, WaveEvent.OPEN): WaveState.OPEN,
        (WaveState.OPEN, WaveEvent.ALL_FINISHED): WaveState.SOAKING,
        (WaveState.OPEN, WaveEvent.FAIL): WaveState.FAILED,
        (WaveState.SOAKING, WaveEvent.PASS): WaveState.PASSED,
        (WaveState.SOAKING, WaveEvent.FAIL): WaveState.FAILED,
    }
)

_ASKED_FOR_BY_PEOPLE = frozenset({RolloutEvent.PAUSE, RolloutEvent.RESUME, RolloutEvent.ABORT, RolloutEvent.ROLLBACK})

UNDER_WAY = frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.ROLLING_BACK, RolloutState.HALTED})
"""Rollouts that still want something of their devices, or of a person (devices can time out meanwhile)."""

FORWARD, BACK = 1, 2
"""Attempt 1 offers a device the rollout's release, attempt 2 the one it had before."""

BUSY = frozenset(
    {
        UpdateState.OFFERED,
        UpdateState.DOWNLOADING,
        UpdateState.VERIFYING,
        UpdateState.INSTALLING,
        UpdateState.PROBATION,
    }
)
"""A device at work; it may fall back within these (a restarted agent begins again)."""

REPORTABLE = (BUSY - {UpdateState.OFFERED}) | {
    UpdateState.HEALTHY,
    UpdateState.REFUSED,
    UpdateState.FAILED,
    UpdateState.ROLLED_BACK,
}
"""What a device may say of itself; the other states are the server's to give."""

WENT_BACK_BY_ITSELF = frozenset({UpdateState.REFUSED, UpdateState.FAILED, UpdateState.ROLLED_BACK})
"""Ends after which the previous release runs, by the contract of UpdateState."""


def step_rollout(state: RolloutState, event: RolloutEvent) -> RolloutState:
    """Return the state after the event.

    Raises:
        TransitionRefused: the table has no such pair.
    """
    if (state, event) not in ROLLOUT_TRANSITIONS:
        possible = tuple(
            other.value for at, other in ROLLOUT_TRANSITIONS if at is state and other in _ASKED_FOR_BY_PEOPLE
        )
        raise TransitionRefused("rollout", state, event, possible)
    return ROLLOUT_TRANSITIONS[state, event]


def step_wave(state: WaveState, event: WaveEvent) -> WaveState:
    """Return the state after the event.

    Raises:
        TransitionRefused: the table has no such pair.
    """
    if (state, event) not in WAVE_TRANSITIONS:
        possible = tuple(other.value for at, other in WAVE_TRANSITIONS if at is state)
        raise TransitionRefused("wave", state, event, possible)
    return WAVE_TRANSITIONS[state, event]


def takes_report(current: UpdateState, reported: UpdateState) -> bool:
    """Whether a device's word changes its row: it is at work, and the word is its to give."""
    return current in BUSY and reported in REPORTABLE


def after_going_back(reported: UpdateState) -> UpdateState:
    """Return what a device's word about its *previous* release means for the rollout that takes its own back.

    Healthy on the previous release is the rollout's ``ROLLED_BACK``. A device that could not go back
    is still owed to: it stays ``OFFERED`` until it says that it did, or a person ends the rollout.
    """
    if reported is UpdateState.HEALTHY:
        return UpdateState.ROLLED_BACK
    return UpdateState.OFFERED if reported in WENT_BACK_BY_ITSELF else reported
