"""Nothing is signed that no line tells: metadata hold what ``words`` speaks of, and not one field more.

``words`` compares what people agree on: releases, floors, teams, keys, thresholds, expiry. Here the whole file is made
anew from just those; where that is not the file, something hides in it, and nobody signs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signing.ceremony.roles import keys_of
from signing.errors import RepositoryDamaged
from signing.keys import tuf_key
from signing.metadata import (
    as_listing,
    as_root,
    floors_of,
    models_of,
    set_floor,
    signed_artifacts,
    target_file,
    team_paths,
    teams_of,
)
from signing.places import NAMED_BY_ROOT, ROOTS, Place

if TYPE_CHECKING:
    from pathlib import Path

    from tuf.api.metadata import DelegatedRole, Root, Targets

    from signing.metadata import Signed


def check_plain(place: Place, metadata: Signed, path: Path) -> None:
    """Accept metadata that say nothing beyond what people are told of them before they sign.

    Raises:
        RepositoryDamaged: one holds something else, such as another key for only one of the roles of a server's key.
    """
    if place in ROOTS:
        signed, told = as_root(metadata).to_dict(), _root(place, as_root(metadata)).to_dict()
    else:
        signed, told = as_listing(metadata).to_dict(), _listing(as_listing(metadata)).to_dict()
    if signed != told:
        raise RepositoryDamaged(
            f"{path}: {_first_difference(signed, told)} is not as 'edgeship release' and 'edgeship keys' write it, and "
            "no line would tell whoever signs; find out who wrote it, and restore the file from your copy"
        )


def _root(place: Place, root: Root) -> Root:
    """Return a root of the same keys: the roles that one key of the server's stands in have them all alike."""
    from tuf.api.metadata import Role, Root

    roles = {
        tuf_role: Role(list(root.roles[first].keyids), root.roles[first].threshold)
        for named_by, (first, *others) in NAMED_BY_ROOT.values()
        if named_by == place
        for tuf_role in (first, *others)
    }
    keys = {keyid: tuf_key(key) for role in roles for keyid, key in keys_of(root, role).items()}
    return Root(
        version=root.version,
        spec_version=root.spec_version,
        expires=root.expires,
        keys=dict(keys),
        roles=roles,
        consistent_snapshot=False,
    )


def _listing(listing: Targets) -> Targets:
    from tuf.api.metadata import Delegations, Targets

    told = Targets(version=listing.version, spec_version=listing.spec_version, expires=listing.expires)
    told.targets = {one.path: target_file(one) for one in signed_artifacts(listing)}
    for model, floor in floors_of(listing).items():
        set_floor(told, model, floor)
    if listing.delegations is not None:
        teams = teams_of(listing)
        keys = {keyid: tuf_key(key) for team in teams for keyid, key in keys_of(listing, team).items()}
        roles = {name: _team(team) for name, team in teams.items()}
        told.delegations = Delegations(keys=dict(keys), roles=roles)
    return told


def _team(team: DelegatedRole) -> DelegatedRole:
    from tuf.api.metadata import DelegatedRole

    paths = team_paths(models_of(team))
    return DelegatedRole(team.name, list(team.keyids), team.threshold, terminating=True, paths=paths)


def _first_difference(one: object, other: object, *, name: str = "signed") -> str:
    """Return where the two begin to differ, as the names of the fields that lead there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for field in sorted({*one, *other}, key=str):
            if one.get(field) != other.get(field):
                return _first_difference(one.get(field), other.get(field), name=f"{name}.{field}")
    return name
