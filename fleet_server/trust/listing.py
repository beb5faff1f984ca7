"""What the model repository releases: top targets, the teams that they delegate to, and the security floors [wire-8.2].

Top targets may list releases themselves and delegate to teams, each with path patterns, keys and a threshold of
its own; a team delegates no further. A team's file counts only while the keys that top targets name now signed it: a
team whose key was replaced lists nothing until it has signed anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from contracts.errors import InvalidId
from contracts.ids import ModelName, parse_group_name, parse_model_name
from contracts.metadata import FLOORS_LIMIT, PATHS_LIMIT, TEAMS_LIMIT
from contracts.release import FLOORS_FIELD, SUFFIX
from fleet_server.errors import ReleaseRefused
from fleet_server.trust.signed_file import read_targets, verify
from signing.errors import SigningError
from signing.metadata import signed_artifacts

if TYPE_CHECKING:
    from tuf.api.metadata import DelegatedRole, Metadata, Root, Targets

    from contracts.codec import Plain
    from contracts.release import ReleasedArtifact

TOP = "targets"
_PATTERN = re.compile(r"[a-z0-9*][a-z0-9*-]*/[0-9A-Za-z.+*-]+/[a-z0-9*-]+\.artifact")
_ANY_VERSION = ("*", f"*{SUFFIX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One artifact that the signed metadata list: by which role, and the target as it was signed."""

    role: str
    artifact: ReleasedArtifact
    target: Mapping[str, Plain]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is released now.

    ``fresh`` are the files that are new, by role, with their versions; ``unsigned`` the teams that are delegated to
    and whose known file the named keys did not sign; ``floors`` those of all files that count; ``teams`` the
    delegations in their order.
    """

    fresh: Mapping[str, tuple[int, str]]
    listed: tuple[Listed, ...]
    unsigned: frozenset[str]
    floors: Mapping[ModelName, int]
    teams: Mapping[str, DelegatedRole]

    def responsible(self, path: str) -> str:
        """Return the role whose word counts for the path: the first team that it is delegated to, or top targets."""
        return _responsible(self.teams, path)


def read_listing(root: Root, offered: Mapping[str, str], known: Mapping[str, str], *, now: datetime) -> Listing:
    """Return what is released once the offered files are taken in beside the known ones.

    Args:
        root: the newest root; it names the keys of top targets.
        offered: texts by role (``targets`` and names of teams); those that are known already change nothing.
        known: the newest accepted text of each role.
        now: against which new files expire.

    Raises:
        ReleaseRefused: a signature, a version, a path, a delegation or a floor does not hold.
    """
    offered = {TOP: known[TOP], **offered} if TOP in known else offered
    if TOP not in offered:
        raise ReleaseRefused("no top targets were ever published here; send them first")
    fresh = {role: text for role, text in offered.items() if text != known.get(role)}
    top = read_targets(offered[TOP], TOP).signed
    verify(
        root, TOP, read_targets(offered[TOP], TOP), refusal="targets are not signed by the targets key that root names"
    )
    if fresh:
        _refuse_expired(top, TOP, now)
    teams = _teams(top)
    files: dict[str, Targets] = {TOP: top}
    unsigned = set()
    for name, team in teams.items():
        text = offered.get(name, known.get(name))
        if text is None:
            continue
        metadata = read_targets(text, name)
        if name in offered or _is_signed(top, name, metadata):
            files[name] = _team_file(top, team, metadata)
        else:
            unsigned.add(name)
    for name in fresh:
        if name not in files:
            raise ReleaseRefused(f"top targets do not delegate to a team {name[:63]!r}; sign the delegation first")
        _check_fresh(files[name], name, known=known.get(name), now=now)
    floors = _floors(files, teams)
    for name in fresh:
        _check_no_floor_falls(known.get(name), files[name], name, floors)
    return Listing(
        fresh={name: (files[name].version, text) for name, text in fresh.items()},
        listed=_listed(files, teams),
        unsigned=frozenset(unsigned),
        floors=floors,
        teams=teams,
    )


def _teams(top: Targets) -> Mapping[str, DelegatedRole]:
    """Return the delegations of top targets in their order, each in the one form that is taken here."""
    if top.delegations is None:
        return {}
    if top.delegations.roles is None or len(top.delegations.roles) > TEAMS_LIMIT:
        raise ReleaseRefused(
            f"top targets delegate to hash bins or to over {TEAMS_LIMIT} teams; name fewer, with paths"
        )
    for name, team in top.delegations.roles.items():
        try:
            parse_group_name(name)
        except InvalidId as error:
            raise ReleaseRefused(f"the team {name[:63]!r} has no name of a team: {error}") from error
        if not team.terminating or not team.paths or len(team.paths) > PATHS_LIMIT:
            raise ReleaseRefused(f"the delegation to {name} must be terminating, with 1 to {PATHS_LIMIT} path patterns")
        for pattern in team.paths:
            if not _PATTERN.fullmatch(pattern):
                raise ReleaseRefused(f"the delegation to {name} has the pattern {pattern!r}; write MODEL/*/*{SUFFIX}")
    return top.delegations.roles


def _is_signed(top: Targets, name: str, metadata: Metadata[Targets]) -> bool:
    return bool(top.get_verification_result(name, metadata.signed_bytes, metadata.signatures))


def _team_file(top: Targets, team: DelegatedRole, metadata: Metadata[Targets]) -> Targets:
    verify(top, team.name, metadata, refusal=f"{team.name} is not signed by enough keys that top targets name for it")
    if metadata.signed.delegations is not None:
        raise ReleaseRefused(f"{team.name} delegates further; only top targets do")
    return metadata.signed


def _check_fresh(targets: Targets, name: str, *, known: str | None, now: datetime) -> None:
    _refuse_expired(targets, name, now)
    if known is None:
        return
    before = read_targets(known, name).signed
    if targets.version <= before.version:
        raise ReleaseRefused(
            f"{name} version {targets.version} is not newer than {before.version}, which is published; "
            "sign a new version"
        )


def _check_no_floor_falls(known: str | None, targets: Targets, name: str, floors: Mapping[ModelName, int]) -> None:
    """Accept a new version whose earlier floors still stand in some file that counts: a model may go to a team."""
    before = read_targets(known, name).signed if known is not None else None
    for model, counter in _stated_floors(before, name).items() if before else ():
        if floors.get(model, 0) < counter:
            raise ReleaseRefused(
                f"{name} version {targets.version} lowers the floor of {model} from {counter}; a floor never falls: "
                "where the model goes to a team, publish once the team has signed"
            )


def _refuse_expired(targets: Targets, name: str, now: datetime) -> None:
    if targets.is_expired(now):
        raise ReleaseRefused(f"{name} version {targets.version} expired at {targets.expires}; sign a new version")


def _listed(files: Mapping[str, Targets], teams: Mapping[str, DelegatedRole]) -> tuple[Listed, ...]:
    """Return every artifact that a device would find under the role that lists it."""
    found: dict[str, Listed] = {}
    for role, targets in files.items():
        try:
            artifacts = signed_artifacts(targets)
        except SigningError as error:
            raise ReleaseRefused(f"{role}: {error}") from error
        for artifact in artifacts:
            path = artifact.path
            if path in found:
                raise ReleaseRefused(f"{path} is listed by {found[path].role} and by {role}; let one of them list it")
            responsible = _responsible(teams, path)
            if role not in (TOP, responsible):
                raise ReleaseRefused(f"{role} may not sign {path}: the first delegation for it is to {responsible}")
            found[path] = Listed(role=role, artifact=artifact, target=targets.targets[path].to_dict())
    return tuple(found.values())


def _floors(files: Mapping[str, Targets], teams: Mapping[str, DelegatedRole]) -> Mapping[ModelName, int]:
    """Return the highest floor of each model; each role speaks only of models whose paths it may sign."""
    highest: dict[ModelName, int] = {}
    for role, targets in files.items():
        for model, counter in _stated_floors(targets, role).items():
            if role not in (TOP, _owner(teams, model)):
                raise ReleaseRefused(f"{role} states a floor of {model}, which it may not sign")
            highest[model] = max(counter, highest.get(model, 0))
    return highest


def _responsible(teams: Mapping[str, DelegatedRole], path: str) -> str:
    return next((name for name, team in teams.items() if team.is_delegated_path(path)), TOP)


def _owner(teams: Mapping[str, DelegatedRole], model: ModelName) -> str:
    """Return the first team that may sign every release of the model; where there is none, top targets."""
    for name, team in teams.items():
        patterns = (pattern.split("/") for pattern in team.paths or ())
        if any(fnmatchcase(model, first) and tuple(rest) == _ANY_VERSION for first, *rest in patterns):
            return name
    return TOP


def _stated_floors(targets: Targets, role: str) -> Mapping[ModelName, int]:
    stated = targets.unrecognized_fields.get(FLOORS_FIELD, {})
    if not isinstance(stated, dict) or len(stated) > FLOORS_LIMIT:
        raise ReleaseRefused(f"{role}: floors are a map of at most {FLOORS_LIMIT} models to counters")
    floors: dict[ModelName, int] = {}
    for model, counter in stated.items():
        if isinstance(counter, bool) or not isinstance(counter, int) or not 0 <= counter < 2**53:
            raise ReleaseRefused(f"{role}: the floor of {str(model)[:63]} is {str(counter)[:32]}, not a counter")
        try:
            floors[parse_model_name(model)] = counter
        except InvalidId as error:
            raise ReleaseRefused(f"{role}: {error}") from error
    return floors
