"""What the pages may set going, and what each act means for how many devices."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from contracts.ids import RolloutId, split_release_id
from contracts.update import UpdateState
from fleet_server.readmodel import RolloutView
from fleet_server.rollouts.states import BUSY, ROLLOUT_TRANSITIONS, RolloutEvent

TYPED_ABOVE_DEVICES = 100
"""An act on more devices than this asks for the rollout's id to be typed."""


class RolloutAct(StrEnum):
    """What a person may do to a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    ROLLBACK = "rollback"


class Acting(Protocol):
    """Carries a person's acts out, for one tenant."""

    def change_rollout(self, rollout: RolloutId, act: RolloutAct, *, by: str) -> None:
        """Make the act happen to the rollout.

        Raises:
            NotFound: there is no such rollout.
            TransitionRefused: its state forbids the act.
        """
        ...

    def acknowledge(self, alert: str, *, by: str) -> None:
        """Note that the person has seen the alert.

        Raises:
            NotFound: there is no such alert.
        """
        ...


def acts_for(rollout: RolloutView) -> tuple[RolloutAct, ...]:
    """Return what the rollout's state allows, in the order of the buttons."""
    return tuple(act for act in RolloutAct if (rollout.state, RolloutEvent(act.value)) in ROLLOUT_TRANSITIONS)


def touched(rollout: RolloutView, act: RolloutAct) -> int:
    """Return how many devices the act changes the course of."""
    states = [part.state for part in rollout.devices]
    if act is RolloutAct.ROLLBACK:
        return sum(state is UpdateState.HEALTHY or state in BUSY for state in states)
    if act is RolloutAct.ABORT:
        return sum(not state.is_final for state in states)
    return sum(state is UpdateState.QUEUED for state in states)


def consequence(rollout: RolloutView, act: RolloutAct) -> str:
    """Return in words what the act does, with the number of devices."""
    count = touched(rollout, act)
    devices = "1 device" if count == 1 else f"{count:,} devices"
    release = rollout.spec.release
    return {
        RolloutAct.PAUSE: f"No further wave opens. {devices} not yet offered {release} wait; those at work finish.",
        RolloutAct.RESUME: f"Waves open again; {devices} still waiting will be offered {release}.",
        RolloutAct.ABORT: f"The rollout ends. {devices} that have not finished are left as they are; "
        f"devices that already run {release} keep it.",
        RolloutAct.ROLLBACK: f"{devices} that run or are taking {release} go back to the release they had before. "
        f"A device that had no release of {split_release_id(release)[0]} before keeps {release}: "
        "there is nothing that it could go back to.",
    }[act]
