"""The signed files of a release repository, by repository and role, and what each role's keys stand in.

``metadata/`` and ``director/`` hold what is in force; ``pending/models/`` and ``pending/director/`` what waits for more
signatures. A role of keys ("director-root", "online", a team) says which file names its keys, under which TUF roles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.metadata import RepositoryName
from signing.keys import KeyRole

TOP = "targets"
"""The role that lists releases of models which no team owns, and names the teams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One signed file: a role of one of the two repositories."""

    repository: RepositoryName
    role: str

    @property
    def name(self) -> str:
        """The role as people call it: ``director-root`` tells the two roots apart."""
        return str(KeyRole.DIRECTOR_ROOT) if self.repository is RepositoryName.DIRECTOR else self.role


MODELS_ROOT = Place(repository=RepositoryName.MODELS, role="root")
DIRECTOR_ROOT = Place(repository=RepositoryName.DIRECTOR, role="root")
TARGETS = Place(repository=RepositoryName.MODELS, role=TOP)
ROOTS = (MODELS_ROOT, DIRECTOR_ROOT)

NAMED_BY_ROOT: Mapping[str, tuple[Place, tuple[str, ...]]] = {
    "root": (MODELS_ROOT, ("root",)),
    "targets": (MODELS_ROOT, ("targets",)),
    "online": (MODELS_ROOT, ("snapshot", "timestamp")),
    "director-root": (DIRECTOR_ROOT, ("root",)),
    "director": (DIRECTOR_ROOT, ("targets", "snapshot", "timestamp")),
}
"""For each role of keys that is no team: the root that names them, and for which TUF roles."""


def team_place(team: str) -> Place:
    """Return the file in which that team lists its releases."""
    return Place(repository=RepositoryName.MODELS, role=team)
