"""The server's own words for how a device's part came to its state; a device's words are codes of its own."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """Why the server, not the device, changed a part; kept as the part's ``code``."""

    TAKEN_BACK = "taken_back"
    """The rollout takes its release back: the device is offered the one it had before."""
    NO_PREVIOUS_RELEASE = "no_previous_release"
    """The rollout takes its release back, but the device had none of the model before: it keeps this one."""
    TIMED_OUT = "timed_out"
    """Nothing final was heard of the device in time."""
