"""Every way an update can go: one table, and nothing else assigns a state.

    IDLE -> PLANNING -> FETCHING -> VERIFYING -> STAGING -> SWITCHING -> PROBATION -> COMMITTING -> IDLE

Before SWITCHING a failure leads straight home: nothing that serves was touched. From SWITCHING on it
leads through REVERTING. Every busy state knows what a power cut means: the state is entered again,
because each one can be repeated; a device that is cut again and again in one state gives up
(EXHAUSTED). A release is only ever served by choice of COMMITTING or after PROBATION found it fit: at
power-on the last good one serves first.

>>> step(State.PROBATION, Event.FAILED)
<State.REVERTING: 'reverting'>
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where an update stands; the journal holds it."""

    IDLE = "idle"
    """Nothing to do."""
    PLANNING = "planning"
    """Refreshing signed metadata and deciding what the offer means here."""
    FETCHING = "fetching"
    """Pulling chunks."""
    VERIFYING = "verifying"
    """Checking the whole artifact against what was signed."""
    STAGING = "staging"
    """Moving it into the spare slot."""
    SWITCHING = "switching"
    """Naming the spare slot as the one on trial."""
    PROBATION = "probation"
    """Proving it on the golden inputs; then serving it under watch."""
    COMMITTING = "committing"
    """Naming it as the good one."""
    REVERTING = "reverting"
    """Taking the trial back; the previous release serves."""


class Event(StrEnum):
    """What happened in a state."""

    OFFERED = "offered"
    PLANNED = "planned"
    CURRENT = "current"
    """The release on offer is the one that serves."""
    FOUND = "found"
    """The release on offer lies in the spare slot."""
    FETCHED = "fetched"
    VERIFIED = "verified"
    STAGED = "staged"
    SWITCHED = "switched"
    PROVED = "proved"
    COMMITTED = "committed"
    REVERTED = "reverted"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    """A newer offer came."""
    POWER_LOST = "power_lost"
    """The agent starts and finds itself in this state."""
    EXHAUSTED = "exhausted"
    """As POWER_LOST, once too often."""


# fmt: off
TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.IDLE,       Event.OFFERED):    State.PLANNING,

    (State.PLANNING,   Event.PLANNED):    State.FETCHING,
    (State.PLANNING,   Event.CURRENT):    State.IDLE,
    (State.PLANNING,   Event.FOUND):      State.SWITCHING,
    (State.PLANNING,   Event.FAILED):     State.IDLE,
    (State.PLANNING,   Event.SUPERSEDED): State.IDLE,
    (State.PLANNING,   Event.POWER_LOST): State.PLANNING,
    (State.PLANNING,   Event.EXHAUSTED):  State.IDLE,

    (State.FETCHING,   Event.FETCHED):    State.VERIFYING,
    (State.FETCHING,   Event.FAILED):     State.IDLE,
    (State.FETCHING,   Event.SUPERSEDED): State.IDLE,
    (State.FETCHING,   Event.POWER_LOST): State.FETCHING,
    (State.FETCHING,   Event.EXHAUSTED):  State.IDLE,

    (State.VERIFYING,  Event.VERIFIED):   State.STAGING,
    (State.VERIFYING,  Event.FAILED):     State.IDLE,
    (State.VERIFYING,  Event.SUPERSEDED): State.IDLE,
    (State.VERIFYING,  Event.POWER_LOST): State.VERIFYING,
    (State.VERIFYING,  Event.EXHAUSTED):  State.IDLE,

    (State.STAGING,    Event.STAGED):     State.SWITCHING,
    (State.STAGING,    Event.FAILED):     State.IDLE,
    (State.STAGING,    Event.SUPERSEDED): State.IDLE,
    (State.STAGING,    Event.POWER_LOST): State.STAGING,
    (State.STAGING,    Event.EXHAUSTED):  State.IDLE,

    (State.SWITCHING,  Event.SWITCHED):   State.PROBATION,
    (State.SWITCHING,  Event.FAILED):     State.REVERTING,
    (State.SWITCHING,  Event.POWER_LOST): State.SWITCHING,
    (State.SWITCHING,  Event.EXHAUSTED):  State.REVERTING,

    (State.PROBATION,  Event.PROVED):     State.COMMITTING,
    (State.PROBATION,  Event.FAILED):     State.REVERTING,
    (State.PROBATION,  Event.SUPERSEDED): State.REVERTING,
    (State.PROBATION,  Event.POWER_LOST): State.PROBATION,
    (State.PROBATION,  Event.EXHAUSTED):  State.REVERTING,

    (State.COMMITTING, Event.COMMITTED):  State.IDLE,
    (State.COMMITTING, Event.FAILED):     State.REVERTING,
    (State.COMMITTING, Event.POWER_LOST): State.COMMITTING,
    (State.COMMITTING, Event.EXHAUSTED):  State.REVERTING,

    # the good slot was never touched, so a revert that cannot be written down is a revert all the same
    (State.REVERTING,  Event.REVERTED):   State.IDLE,
    (State.REVERTING,  Event.FAILED):     State.IDLE,
    (State.REVERTING,  Event.POWER_LOST): State.REVERTING,
    (State.REVERTING,  Event.EXHAUSTED):  State.IDLE,
}
# fmt: on


class IllegalTransition(RuntimeError):
    """The event has no meaning in the state: a bug, never a circumstance."""


def step(state: State, event: Event) -> State:
    """Return the state that follows.

    Raises:
        IllegalTransition: the table has no such line.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} means nothing while {state}") from None
