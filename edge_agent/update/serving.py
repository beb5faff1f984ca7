"""What the update asks of the inference side: open a model, let it answer, take it away.

``edge_agent.inference`` is behind it in an agent, a fake in the update's tests.
"""

from __future__ import annotations

from typing import Protocol

from contracts.artifact import Artifact
from contracts.ids import ModelName, ReleaseId
from edge_agent.update.probation import Provable


class Servable(Provable, Protocol):
    """An opened model that can be proved and served."""

    @property
    def release(self) -> ReleaseId:
        """Which release it is."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Serving(Protocol):
    """Where models answer requests; the machine decides which."""

    def prepare(self, artifact: Artifact) -> None:
        """Load the runtime that the artifact needs, so that its memory is not counted as the release's."""
        ...

    def open(self, artifact: Artifact) -> Servable:
        """Return the artifact's model, loaded and not yet answering."""
        ...

    def put(self, model: Servable) -> None:
        """Make it the one that answers for its model; requests in flight finish on the former one."""
        ...

    def remove(self, model: ModelName) -> None:
        """Let nothing answer for the model."""
        ...

    def running(self, model: ModelName) -> ReleaseId | None:
        """Return the release that answers, if any does."""
        ...
