"""Which keys stand in which role, and the two rules that hold for all of them.

A key stands in one role: losing or stealing one must not hit two. A keyid is computed from its key: none counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from signing.errors import KeyRefused, KeyUnreadable, RepositoryDamaged, RoleUnknown
from signing.keys import check_keyid, public_of
from signing.metadata import teams_of
from signing.places import DIRECTOR_ROOT, NAMED_BY_ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tuf.api.metadata import Key, Role, Root, Targets

    from signing.keys import PublicKey

    Delegator: TypeAlias = Root | Targets


def keys_of(delegator: Delegator, role: str) -> dict[str, PublicKey]:
    """Return the keys that the delegator names for the role, by keyid.

    Raises:
        RepositoryDamaged: the delegator names no such role, or a key that it does not carry.
    """
    try:
        keyids = delegator.get_delegated_role(role).keyids
        return {keyid: public_of(delegator.get_key(keyid)) for keyid in keyids}
    except ValueError as error:
        raise RepositoryDamaged(
            f"{delegator.type} version {delegator.version}, {role}: {error}; restore it from your copy"
        ) from error


def keys_by_role(root: Root, director: Root, targets: Targets | None) -> dict[str, tuple[PublicKey, ...]]:
    """Return the keys of every role of keys: those that the roots name, and the teams."""
    named = {
        role: tuple(keys_of(director if place == DIRECTOR_ROOT else root, tuf_roles[0]).values())
        for role, (place, tuf_roles) in NAMED_BY_ROOT.items()
    }
    teams = {team: tuple(keys_of(targets, team).values()) for team in teams_of(targets)} if targets else {}
    return {**named, **teams}


def find_key(keys: Iterable[PublicKey], text: str, *, role: str) -> PublicKey:
    """Return the one of the role's keys that a person means: by keyid, the start of one, or the holder's name.

    Raises:
        KeyRefused: none of them is meant, or several are.
    """
    members = list(keys)
    meant = [key for key in members if text in (key.keyid, key.holder)] or [
        key for key in members if len(text) >= 4 and key.keyid.startswith(text)
    ]
    if len(meant) != 1:
        there = ", ".join(key.words for key in members)
        raise KeyRefused(f"{text!r} is {len(meant) or 'none'} of the keys of {role}; name one of: {there}")
    return meant[0]


def named_roles(delegator: Delegator) -> tuple[Mapping[str, Key], Mapping[str, Role]]:
    """Return the keys and the roles that the delegator names, by keyid and by name."""
    from tuf.api.metadata import Root

    if isinstance(delegator, Root):
        return delegator.keys, delegator.roles
    if delegator.delegations is None:
        return {}, {}
    return delegator.delegations.keys, delegator.delegations.roles or {}


def role_in(delegator: Delegator, name: str) -> Role:
    """Return the role that the delegator names.

    Raises:
        RoleUnknown: it names none of that name.
    """
    _, roles = named_roles(delegator)
    if name not in roles:
        known = ", ".join(sorted({*NAMED_BY_ROOT, *roles} - {"snapshot", "timestamp"}))
        raise RoleUnknown(f"no role {name!r} has keys here; there are: {known}")
    return roles[name]


def check_named_keys(delegator: Delegator, path: Path) -> None:
    """Accept metadata whose keys are named under their own keyids, in roles that they can satisfy.

    Raises:
        RepositoryDamaged: a key under a foreign keyid (it could count twice), or a threshold that its keys cannot meet.
    """
    keys, roles = named_roles(delegator)
    try:
        for key in keys.values():
            check_keyid(public_of(key), str(path))
    except KeyUnreadable as error:
        raise RepositoryDamaged(str(error)) from error
    for name, role in roles.items():
        if not 0 < role.threshold <= len(role.keyids) or not set(role.keyids) <= set(keys):
            raise RepositoryDamaged(
                f"{path}: {name} asks for {role.threshold} of {len(role.keyids)} keys; restore it from your copy"
            )


def check_threshold(role: str, threshold: int, count: int) -> None:
    """Accept a threshold that the role's keys can meet.

    Raises:
        KeyRefused: no key, or more signatures than keys.
    """
    if count == 0:
        raise KeyRefused(f"{role} would have no key; name at least one with --key")
    if not 0 < threshold <= count:
        raise KeyRefused(f"{role}: {threshold} of {count} keys cannot be; choose a threshold from 1 to {count}")


def check_one_role_each(keys: Mapping[str, Iterable[PublicKey]]) -> None:
    """Accept keys that each stand in one role, once.

    Raises:
        KeyRefused: one stands in two.
    """
    taken: dict[str, str] = {}
    for role, members in keys.items():
        for key in members:
            if key.keyid in taken:
                raise KeyRefused(
                    f"key {key.words} is for {taken[key.keyid]} and for {role}; make a key of its own for each role"
                )
            taken[key.keyid] = role
