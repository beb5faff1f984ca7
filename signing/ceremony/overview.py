"""Who holds which key of which role, how many must sign, until when, and what waits: ``edgeship keys show``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from signing.ceremony.pending import Waiting, waiting
from signing.ceremony.roles import keys_of
from signing.metadata import as_listing, as_root, models_of, teams_of
from signing.places import NAMED_BY_ROOT, TARGETS, Place, team_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signing.ceremony.roles import Delegator
    from signing.keys import PublicKey
    from signing.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleView:
    """One role of keys: ``version`` and ``expires_at`` are those of the file that its keys sign here; None: none yet.

    ``in_force`` is false where the metadata that name the role wait for signatures themselves. ``models`` are a team's.
    """

    role: str
    threshold: int
    keys: tuple[PublicKey, ...]
    in_force: bool
    version: int | None = None
    expires_at: datetime | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All roles of keys of a repository, and what waits for signatures."""

    roles: tuple[RoleView, ...]
    waiting: tuple[Waiting, ...]


def overview(repository: Repository) -> Overview:
    """Return who holds what, as the metadata say; ``verify`` tells whether it is so."""
    return Overview(roles=tuple(_roles(repository)), waiting=waiting(repository))


def _roles(repository: Repository) -> Iterator[RoleView]:
    for role, (place, tuf_roles) in NAMED_BY_ROOT.items():
        metadata = repository.installed(place) or repository.pending(place)
        if metadata is not None:
            signs = {"root": place, "director-root": place, "targets": TARGETS}.get(role)
            view = _view(repository, as_root(metadata), role, tuf_role=tuf_roles[0], signs=signs)
            yield _with_force(view, in_force=repository.installed(place) is not None)
    metadata = repository.installed(TARGETS) or repository.pending(TARGETS)
    coming = repository.newest_targets(TARGETS)
    for team, delegated in teams_of(coming).items():
        named = metadata is not None and team in teams_of(as_listing(metadata))
        delegator = as_listing(metadata) if metadata is not None and named else coming
        if delegator is not None:
            view = _view(
                repository, delegator, team, tuf_role=team, signs=team_place(team), models=models_of(delegated)
            )
            yield _with_force(view, in_force=named and repository.installed(TARGETS) is not None)


def _view(
    repository: Repository,
    delegator: Delegator,
    role: str,
    *,
    tuf_role: str,
    signs: Place | None,
    models: tuple[str, ...] = (),
) -> RoleView:
    file = repository.installed(signs) if signs else None
    return RoleView(
        role=role,
        threshold=delegator.get_delegated_role(tuf_role).threshold,
        keys=tuple(keys_of(delegator, tuf_role).values()),
        in_force=True,
        version=file.signed.version if file else None,
        expires_at=file.signed.expires if file else None,
        models=models,
    )


def _with_force(view: RoleView, *, in_force: bool) -> RoleView:
    from dataclasses import replace

    return replace(view, in_force=in_force)
