"""Changes that people agree on by signing: keys, teams, releases taken back. Each becomes metadata that wait.

Nothing changes under a signature: where somebody has signed what waits, another change is refused until that is in
force or withdrawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from contracts.ids import split_release_id
from contracts.release import FLOORS_FIELD
from signing.ceremony.gathering import next_version, settle, store_pending
from signing.ceremony.roles import (
    check_one_role_each,
    check_threshold,
    find_key,
    keys_by_role,
    keys_of,
    role_in,
)
from signing.draft import Draft, write_draft
from signing.errors import CeremonyOpen, KeyRefused, NothingPending, ReleaseMissing, RoleUnknown
from signing.keys import parse_team, tuf_key
from signing.metadata import (
    as_listing,
    as_root,
    floors_of,
    models_of,
    owner_of,
    set_floor,
    signed_artifacts,
    team_paths,
    teams_of,
    whole_seconds,
)
from signing.places import DIRECTOR_ROOT, MODELS_ROOT, NAMED_BY_ROOT, ROOTS, TARGETS, Place, team_place
from signing.repository import ROOT_LIFETIME, TARGETS_LIFETIME

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tuf.api.metadata import Root, Targets

    from contracts.ids import ModelName, ReleaseId
    from signing.ceremony.roles import Delegator
    from signing.keys import PublicKey
    from signing.metadata import Signed
    from signing.repository import Repository

KEYS_OF_SERVER = ("online", "director")


def change_keys(
    repository: Repository,
    role: str,
    *,
    now: datetime,
    add: Sequence[PublicKey] = (),
    remove: Sequence[str] = (),
    threshold: int | None = None,
) -> tuple[Place, tuple[PublicKey, ...]]:
    """Let keys be added to a role, taken from it or both; return what now waits, and the keys that go.

    ``remove`` names keys as people do: holder, keyid or the start of one. A threshold that is not given stays.

    Raises:
        RoleUnknown: no such role has keys.
        KeyRefused: a key that is not there or in another role, or a threshold that cannot be met.
        CeremonyOpen: somebody has signed what waits there.
    """
    place, tuf_roles = NAMED_BY_ROOT.get(role, (TARGETS, (role,)))
    metadata = _edit(repository, place)
    delegator = _delegator(metadata)
    role_in(delegator, tuf_roles[0])
    there = keys_of(delegator, tuf_roles[0])
    gone = tuple(find_key(there.values(), text, role=role) for text in remove)
    for tuf_role in tuf_roles:
        _replace(delegator, tuf_role, add=add, gone=gone, threshold=threshold)
    count = len(delegator.get_delegated_role(tuf_roles[0]).keyids)
    _check_server_has_one(role, count)
    check_threshold(role, delegator.get_delegated_role(tuf_roles[0]).threshold, count)
    if place in ROOTS:
        metadata.signed.expires = whole_seconds(now) + ROOT_LIFETIME
    else:
        metadata.signed.expires = whole_seconds(now) + TARGETS_LIFETIME
    _check_roles(repository, place, metadata)
    store_pending(repository, place, metadata)
    return place, gone


def delegate(
    repository: Repository,
    team: str,
    *,
    models: Sequence[ModelName],
    keys: Sequence[PublicKey],
    threshold: int,
    now: datetime,
) -> tuple[Place, tuple[ReleaseId, ...]]:
    """Let a team sign the releases of these models; return what now waits, and the releases that move to the team.

    A team that exists already gets the models in addition, and keeps its keys.

    Raises:
        RoleUnknown: no name for a team.
        KeyRefused: no key, a threshold that cannot be met, a key of another role, or keys for a team that has some.
        CeremonyOpen: somebody has signed what waits there.
    """
    from tuf.api.metadata import DelegatedRole, Delegations

    metadata = _edit(repository, TARGETS)
    top = as_listing(metadata)
    for model in models:
        owner = owner_of(model, top)
        if owner not in (TARGETS.role, team):
            raise KeyRefused(f"{model} is a model of team {owner} already; a model has one team")
    known = teams_of(top).get(parse_team(team))
    if known is not None and keys:
        raise KeyRefused(f"team {team} has keys already; change them with 'edgeship keys add' and 'keys rotate'")
    is_new = known is None
    if known is None:
        check_threshold(team, threshold, len(keys))
        known = DelegatedRole(team, [], threshold, terminating=True, paths=[])
        delegations = top.delegations or Delegations(keys={}, roles={})
        top.delegations = Delegations(keys=delegations.keys, roles={**(delegations.roles or {}), team: known})
        for key in keys:
            top.add_key(tuf_key(key), team)
    known.paths = team_paths({*(path.partition("/")[0] for path in known.paths or ()), *models})
    _check_roles(repository, TARGETS, metadata)
    top.expires = whole_seconds(now) + TARGETS_LIFETIME
    moved = _move(repository, top, team, is_new=is_new, now=now)
    store_pending(repository, TARGETS, metadata)
    return TARGETS, moved


def revoke_release(repository: Repository, release: ReleaseId, *, and_older: bool, now: datetime) -> Place:
    """Take a release out of its listing; ``and_older`` also the older ones, for good: the floor rises above them.

    Raises:
        ReleaseMissing: it is not listed.
        CeremonyOpen: somebody has signed what waits there.
    """
    model, _ = split_release_id(release)
    owner = owner_of(model, repository.newest_targets(TARGETS))
    place = TARGETS if owner == TARGETS.role else team_place(owner)
    metadata = _edit(repository, place)
    listing = as_listing(metadata)
    of_model = [one for one in signed_artifacts(listing) if split_release_id(one.custom.release)[0] == model]
    counters = {one.custom.counter for one in of_model if one.custom.release == release}
    if not counters:
        listed = ", ".join(dict.fromkeys(one.custom.release for one in of_model)) or f"none of {model}"
        raise ReleaseMissing(f"{release} is not released; {place.name} lists {listed}")
    counter = max(counters)
    for one in of_model:
        if one.custom.release == release or (and_older and one.custom.counter <= counter):
            del listing.targets[one.path]
    if and_older:
        set_floor(listing, model, counter + 1)
    listing.expires = whole_seconds(now) + TARGETS_LIFETIME
    store_pending(repository, place, metadata)
    return place


def renew_roots(repository: Repository, *, now: datetime, lifetime: timedelta = ROOT_LIFETIME) -> tuple[Place, ...]:
    """Let both roots live for ``lifetime`` from now; return what now waits.

    Raises:
        CeremonyOpen: somebody has signed what waits there.
    """
    edited = {place: _edit(repository, place) for place in ROOTS}
    for place, metadata in edited.items():
        metadata.signed.expires = whole_seconds(now) + lifetime
        store_pending(repository, place, metadata)
    return tuple(edited)


def withdraw(repository: Repository, name: str) -> Place:
    """Take back what waits for signatures in the role of that name; what was drafted in it is a draft again.

    Raises:
        NothingPending: nothing waits there.
        CeremonyOpen: what waits cannot be done without: the first root, or a listing whose keys were
            replaced or that holds floors of models which came to the team.
    """
    settle(repository)
    waiting = {place.name: place for place in repository.places() if repository.pending(place) is not None}
    if name not in waiting:
        raise NothingPending(f"nothing waits for signatures in {name!r}; waiting: {', '.join(waiting) or 'nothing'}")
    place = waiting[name]
    metadata, installed = repository.pending(place), repository.installed(place)
    if metadata is None or (installed is None and (place.role == "root" or metadata.signed.version > 1)):
        raise CeremonyOpen(f"what waits in {name} replaces nothing that is in force; it has to be signed")
    _check_no_floor_is_lost(repository, place, metadata)
    if place.role != "root":
        known = signed_artifacts(as_listing(installed)) if installed else ()
        back = [one for one in signed_artifacts(as_listing(metadata)) if one not in known]
        drafted = (*repository.drafted(), *back)
        write_draft(repository.draft_path, Draft(artifacts=tuple(sorted(drafted, key=lambda one: one.path))))
    repository.pending_path(place).unlink()
    return place


def _check_no_floor_is_lost(repository: Repository, place: Place, metadata: Signed) -> None:
    """Accept to take back a listing whose floors are its own news, or stand elsewhere; not one that floors moved to."""
    top, installed = repository.newest_targets(TARGETS), repository.installed(place)
    if place in (*ROOTS, TARGETS) or top is None:
        return
    known = as_listing(installed) if installed else None
    spoken = {one.path.partition("/")[0] for one in signed_artifacts(known)} | set(floors_of(known)) if known else set()
    elsewhere = floors_of(top)
    for model, floor in floors_of(as_listing(metadata)).items():
        if model not in spoken and elsewhere.get(model, 0) < floor:
            raise CeremonyOpen(
                f"what waits in {place.name} holds the floor of {model}, counter {floor}, which moved there with the "
                f"model and stands nowhere else; let {place.name} sign it, or withdraw {TARGETS} while that waits"
            )


def _edit(repository: Repository, place: Place) -> Signed:
    """Return the metadata of the place that nobody has signed yet."""
    settle(repository)
    metadata = repository.pending(place)
    if metadata is None:
        if place in ROOTS and repository.installed(place) is None:
            raise CeremonyOpen(f"{place.name} is not there yet; begin with 'edgeship release init'")
        return next_version(repository, place)
    if metadata.signatures:
        raise CeremonyOpen(
            f"{place.name} version {metadata.signed.version} waits for signatures and somebody has signed it: let the "
            f"others sign with 'edgeship release sign', or take it back with 'edgeship release withdraw {place.name}'"
        )
    return metadata


def _delegator(metadata: Signed) -> Delegator:
    return as_root(metadata) if metadata.signed.type == "root" else as_listing(metadata)


def _replace(
    delegator: Delegator, role: str, *, add: Sequence[PublicKey], gone: Sequence[PublicKey], threshold: int | None
) -> None:
    named = delegator.get_delegated_role(role)
    for key in gone:
        delegator.revoke_key(key.keyid, role)
    for key in add:
        if key.keyid in named.keyids:
            raise KeyRefused(f"key {key.words} is one of {role}'s already; give another one")
        delegator.add_key(tuf_key(key), role)
    if threshold is not None:
        named.threshold = threshold


def _check_server_has_one(role: str, count: int) -> None:
    if role in KEYS_OF_SERVER and count != 1:
        raise KeyRefused(f"{role} has one key, the server's own; replace it with 'edgeship keys rotate {role}'")


def _check_roles(repository: Repository, place: Place, metadata: Signed) -> None:
    root, director = (_newest_root(repository, one) for one in (MODELS_ROOT, DIRECTOR_ROOT))
    top = repository.newest_targets(TARGETS)
    if place == MODELS_ROOT:
        root = as_root(metadata)
    elif place == DIRECTOR_ROOT:
        director = as_root(metadata)
    else:
        top = as_listing(metadata)
    check_one_role_each(keys_by_role(root, director, top))


def _newest_root(repository: Repository, place: Place) -> Root:
    metadata = repository.pending(place) or repository.installed(place)
    if metadata is None:
        raise RoleUnknown(f"{place.name} is not there yet; begin with 'edgeship release init'")
    return as_root(metadata)


def _move(repository: Repository, top: Targets, team: str, *, is_new: bool, now: datetime) -> tuple[ReleaseId, ...]:
    """Take releases and floors of the team's models out of the top listing, into one that waits for the team.

    A new team begins with nothing else, whatever a killed or withdrawn delegation of that name left behind.
    """
    models = set(models_of(teams_of(top)[team]))
    moving = [one for one in signed_artifacts(top) if split_release_id(one.custom.release)[0] in models]
    floors = {model: floor for model, floor in floors_of(top).items() if model in models}
    if not moving and not floors:
        return ()
    place = team_place(team)
    metadata = next_version(repository, place) if is_new else _edit(repository, place)
    listing = as_listing(metadata)
    listing.expires = whole_seconds(now) + TARGETS_LIFETIME
    for one in moving:
        listing.targets[one.path] = top.targets.pop(one.path)
    for model, floor in floors.items():
        set_floor(listing, model, floor)
    remaining = {model: floor for model, floor in floors_of(top).items() if model not in models}
    top.unrecognized_fields.pop(FLOORS_FIELD, None)
    for model, floor in remaining.items():
        set_floor(top, model, floor)
    store_pending(repository, place, metadata)
    return tuple(dict.fromkeys(one.custom.release for one in moving))
