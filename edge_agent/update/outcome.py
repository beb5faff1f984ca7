"""What the server is told: which word of ``UpdateState`` a state, or the way an update ended, stands for."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from enum import StrEnum

from contracts.update import UpdateState
from edge_agent.errors import AgentError, DiskFull, Refused, StorageFailed
from edge_agent.update.states import Event, State

REPORTED_AS: Mapping[State, UpdateState] = {
    State.FETCHING: UpdateState.DOWNLOADING,
    State.VERIFYING: UpdateState.VERIFYING,
    State.STAGING: UpdateState.INSTALLING,
    State.SWITCHING: UpdateState.INSTALLING,
    State.PROBATION: UpdateState.PROBATION,
}
"""States whose entry is reported; the others pass too quickly or end in a final report."""


class OutcomeCode(StrEnum):
    """Why an update ended where no error says it; any other code is the ``code`` of an error."""

    NONE = ""
    """As it should."""
    SUPERSEDED = "superseded"
    """A newer offer took its place."""
    SLOW_DELIVERY = "slow_delivery"
    """Not an end: the broker gives so little that the chunks come another way meanwhile."""


def final_state(left: State, event: Event, error: type[AgentError]) -> UpdateState:
    """Return how the attempt ended, given the state that it left for IDLE, why, and what went wrong.

    ``error`` is only looked at where the event is FAILED.
    """
    if left is State.REVERTING:
        return UpdateState.ROLLED_BACK
    if event in (Event.CURRENT, Event.COMMITTED):
        return UpdateState.HEALTHY
    if event is Event.SUPERSEDED:
        return UpdateState.CANCELLED
    return UpdateState.REFUSED if event is Event.FAILED and issubclass(error, Refused) else UpdateState.FAILED


def disk_error(error: OSError) -> DiskFull | StorageFailed:
    """Return the failure in our words, with the next action."""
    place = error.filename or "the state folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room left at {place} for the release; free some space and offer it again")
    return StorageFailed(f"cannot write {place}: {error.strerror or error}; check the disk and offer it again")
