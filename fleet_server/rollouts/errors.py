"""What can be wrong with a rollout that somebody asks for.

RequestRefused (fleet_server.errors)
├── SpecRefused             the spec cannot be carried out as it is written
├── ReleaseBarred           the release was revoked, or is below the security floor
└── AlreadyExists
    ├── TransitionRefused   the rollout or the wave is in a state that forbids it
    └── RolloutInTheWay     another rollout of the model is under way in the group
"""

from __future__ import annotations

from typing import ClassVar

from fleet_server.errors import AlreadyExists, RequestRefused


class SpecRefused(RequestRefused):
    """The spec cannot be carried out as it is written."""

    code: ClassVar[str] = "spec_refused"


class ReleaseBarred(RequestRefused):
    """The release was revoked, or is below the security floor."""

    code: ClassVar[str] = "release_barred"


class TransitionRefused(AlreadyExists):
    """The rollout or the wave is in a state that forbids it."""

    code: ClassVar[str] = "transition_refused"

    def __init__(self, what: str, state: str, event: str, possible: tuple[str, ...]) -> None:
        """Name the state, what was asked for, and what is possible instead."""
        instead = f"possible now: {', '.join(possible)}" if possible else "it has ended"
        super().__init__(f"a {what} that is {state} does not take '{event}'; {instead}")
        self.state = state
        self.event = event


class RolloutInTheWay(AlreadyExists):
    """Another rollout of the model is under way in the group."""

    code: ClassVar[str] = "rollout_in_the_way"
