"""What a delegation may give: some models to a team, finally, and no further [wire-9.2].

The top targets may hand models to teams, each with its own keys and threshold. Whose word counts for a path is TUF's
own rule (the first delegation whose pattern fits; all of ours end the search). Beyond it: one level, so that there is
no circle; a bounded number; patterns of three parts; and no key that counts twice.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, cast

from contracts.errors import InvalidId
from contracts.ids import parse_model_name
from contracts.keys import check_key
from contracts.metadata import FLOORS_LIMIT, PATHS_LIMIT, TEAMS_LIMIT
from contracts.release import FLOORS_FIELD
from edge_agent.trust.errors import DelegationRefused, KeyRepeated, MetadataMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from securesystemslib.signer import Key
    from tuf.api.metadata import DelegatedRole, Targets

    from contracts.ids import ModelName

_TEAM = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PATTERN = re.compile(r"[a-z0-9*][a-z0-9*-]*/[0-9A-Za-z.+*-]+/[a-z0-9*.-]+")


def check_teams(targets: Targets) -> None:
    """Return where the top targets delegate as they may.

    Raises:
        DelegationRefused: too many, not to a team, not for models, or without an end.
        KeyRepeated: a key under another name or in another spelling than its own.
    """
    delegations = targets.delegations
    if delegations is None:
        return
    if delegations.roles is None or len(delegations.roles) > TEAMS_LIMIT:
        raise DelegationRefused(f"targets delegate to hash bins or to more than {TEAMS_LIMIT} teams; sign fewer")
    check_keys(delegations.keys, "targets")
    for role in delegations.roles.values():
        _check_team(role)


def check_no_further(team: str, targets: Targets) -> None:
    """Return where the team delegates nothing: so there is no circle and no chain.

    Raises:
        DelegationRefused: it does.
    """
    if targets.delegations is not None:
        further = ", ".join(targets.delegations.roles or ["hash bins"])
        raise DelegationRefused(f"team {team} delegates to {further}; only the top targets delegate, sign it without")


def team_for(targets: Targets, path: str) -> DelegatedRole | None:
    """Return the team whose word counts for the path, or None where that is the top targets alone."""
    if targets.delegations is None or targets.delegations.roles is None:
        return None
    return next((role for role in targets.delegations.roles.values() if role.is_delegated_path(path)), None)


def owner_of(targets: Targets, model: ModelName) -> DelegatedRole | None:
    """Return the first team that has every version of the model, or None."""
    roles = targets.delegations.roles if targets.delegations else None
    return next((role for role in (roles or {}).values() if _owns(role, model)), None)


def signed_floors(targets: Targets) -> dict[ModelName, int]:
    """Return the security floors that these targets state.

    Raises:
        MetadataMalformed: the field holds something else than a counter for each model.
    """
    stated = targets.unrecognized_fields.get(FLOORS_FIELD, {})
    if not isinstance(stated, dict) or not all(type(counter) is int and counter >= 0 for counter in stated.values()):
        raise MetadataMalformed(f"the field {FLOORS_FIELD!r} of targets holds no counters; sign them again")
    if len(stated) > FLOORS_LIMIT:
        raise MetadataMalformed(f"the field {FLOORS_FIELD!r} of targets names more than {FLOORS_LIMIT} models")
    try:
        return {parse_model_name(model): cast("int", counter) for model, counter in stated.items()}
    except InvalidId as error:
        raise MetadataMalformed(f"the field {FLOORS_FIELD!r} of targets: {error}") from error


def check_keys(keys: Mapping[str, Key], where: str) -> None:
    """Return where each key stands under the one name that it has: so none stands under two.

    Raises:
        KeyRepeated: one does not: its signature could count twice towards a threshold.
    """
    for keyid, key in keys.items():
        try:
            check_key(keyid, key.keytype, key.scheme, key.keyval)
        except InvalidId as error:
            raise KeyRepeated(f"{where} metadata could count a key twice: {error}") from error


def _check_team(role: DelegatedRole) -> None:
    paths = role.paths or []
    if not _TEAM.fullmatch(role.name):
        raise DelegationRefused(f"{role.name[:80]!r} is no name of a team; use lower-case letters, digits and '-'")
    if not role.terminating:
        raise DelegationRefused(f"the delegation to team {role.name} does not end the search; sign it as terminating")
    if not 0 < len(paths) <= PATHS_LIMIT or role.path_hash_prefixes is not None:
        raise DelegationRefused(f"team {role.name} has {len(paths)} path patterns; give it 1 to {PATHS_LIMIT}")
    for path in paths:
        if not _PATTERN.fullmatch(path):
            raise DelegationRefused(
                f"team {role.name} has the path pattern {path[:80]!r}; write it as MODEL/*/*.artifact"
            )


def _owns(team: DelegatedRole, model: ModelName) -> bool:
    """Whether every version of the model is the team's."""
    parts = [pattern.split("/") for pattern in team.paths or []]
    return any(fnmatchcase(model, name) and rest in (["*", "*"], ["*", "*.artifact"]) for name, *rest in parts)
