"""TUF metadata files: read strictly, written exactly.

A file counts only if it is, byte for byte, what python-tuf writes for its content, with signatures
in lower case: a signature covers the meaning of the JSON, not its spelling, so a changed
spelling would verify. Here it does not: one content, one file, one digest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError, InvalidId
from contracts.ids import ModelName, ReleaseId, parse_digest, parse_model_name, split_release_id
from contracts.release import FLOORS_FIELD, SUFFIX, Release, ReleasedArtifact, TargetCustom, parse_target_path
from signing.durable_file import read_bounded
from signing.errors import RepositoryDamaged, RoleUnknown
from signing.keys import parse_team
from signing.places import TOP, Place

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tuf.api.metadata import DelegatedRole, Metadata, Root, TargetFile, Targets

    Signed: TypeAlias = Metadata[Root] | Metadata[Targets]

SHA256 = "sha256"
METADATA_LIMIT_BYTES = 16_000_000
"""As much as a fleet server takes in one submission."""
MAX_COUNTER = 2**53 - 1
"""Larger integers lose digits in JSON readers."""
_LOWER_HEX = re.compile(r"[0-9a-f]+")


def read_root(path: Path) -> Metadata[Root]:
    """Return the root metadata in the file; nothing is verified yet.

    Raises:
        RepositoryDamaged: missing, not root metadata, or not in the one spelling.
    """
    from tuf.api.metadata import Root

    data = _read(path)
    root: Metadata[Root] = _parse(data, path)
    if not isinstance(root.signed, Root):
        raise RepositoryDamaged(f"{path} is {root.signed.type} metadata, not root")
    _check_spelling(root, data, path)
    return root


def read_targets(path: Path) -> Metadata[Targets]:
    """Return the targets metadata in the file; nothing is verified yet.

    Raises:
        RepositoryDamaged: missing, not targets metadata, or not in the one spelling.
    """
    from tuf.api.metadata import Targets

    data = _read(path)
    targets: Metadata[Targets] = _parse(data, path)
    if not isinstance(targets.signed, Targets):
        raise RepositoryDamaged(f"{path} is {targets.signed.type} metadata, not targets")
    _check_spelling(targets, data, path)
    return targets


def read_signed(place: Place, path: Path) -> Signed:
    """Return the metadata of that place in the file; nothing is verified yet.

    Raises:
        RepositoryDamaged: missing, of another role, or not in the one spelling.
    """
    return read_root(path) if place.role == "root" else read_targets(path)


def as_root(metadata: Signed) -> Root:
    """Return the root that the metadata are; a place of that role holds nothing else."""
    from tuf.api.metadata import Root

    if not isinstance(metadata.signed, Root):
        raise TypeError(f"expected root metadata, got {metadata.signed.type}")
    return metadata.signed


def as_listing(metadata: Signed) -> Targets:
    """Return the targets that the metadata are; a place that lists releases holds nothing else."""
    from tuf.api.metadata import Targets

    if not isinstance(metadata.signed, Targets):
        raise TypeError(f"expected targets metadata, got {metadata.signed.type}")
    return metadata.signed


def team_paths(models: Iterable[str]) -> list[str]:
    """Return the target paths that releases of these models have, as TUF patterns."""
    return [f"{model}/*/*{SUFFIX}" for model in sorted(set(models))]


def models_of(role: DelegatedRole) -> tuple[ModelName, ...]:
    """Return the models whose releases the team signs.

    Raises:
        RepositoryDamaged: the delegation is of other paths than all of a model's.
    """
    models = [path.partition("/")[0] for path in role.paths or ()]
    try:
        named = tuple(parse_model_name(model) for model in models)
    except InvalidId as error:
        raise RepositoryDamaged(
            f"team {role.name}: {error}; write delegations with 'edgeship keys delegate'"
        ) from error
    if not role.paths or not role.terminating or sorted(role.paths) != team_paths(models):
        raise RepositoryDamaged(
            f"team {role.name}: {role.paths} are not the releases of models; write it with 'edgeship keys delegate'"
        )
    return named


def teams_of(targets: Targets | None) -> dict[str, DelegatedRole]:
    """Return the teams that the top targets name, by name.

    Raises:
        RepositoryDamaged: a name that no team can have, such as one that leads to another folder.
    """
    if targets is None or targets.delegations is None:
        return {}
    roles = dict(targets.delegations.roles or {})
    try:
        return {parse_team(name): role for name, role in roles.items()}
    except RoleUnknown as error:
        raise RepositoryDamaged(f"a delegation of {TOP}: {error}; restore the file from your copy") from error


def owner_of(model: str, targets: Targets | None) -> str:
    """Return the role that lists releases of the model: a team, or the top targets."""
    return next((name for name, role in teams_of(targets).items() if model in models_of(role)), TOP)


def floors_of(targets: Targets) -> dict[str, int]:
    """Return the lowest counter of each model that the metadata still let devices install.

    Raises:
        RepositoryDamaged: the field holds anything else than models and counters.
    """
    plain = targets.unrecognized_fields.get(FLOORS_FIELD, {})
    if not isinstance(plain, Mapping) or any(
        not isinstance(floor, int) or isinstance(floor, bool) or not 0 < floor <= MAX_COUNTER + 1
        for floor in plain.values()
    ):
        raise RepositoryDamaged(f"{FLOORS_FIELD} are {plain!r}, not counters by model; restore the file from your copy")
    try:
        return {parse_model_name(model): int(floor) for model, floor in plain.items()}
    except InvalidId as error:
        raise RepositoryDamaged(f"{FLOORS_FIELD}: {error}; restore the file from your copy") from error


def set_floor(targets: Targets, model: str, floor: int) -> None:
    """Make the metadata state that floor for the model; a floor never sinks."""
    floors = floors_of(targets)
    floors[model] = max(floor, floors.get(model, 1))
    targets.unrecognized_fields[FLOORS_FIELD] = dict(sorted(floors.items()))


def target_file(artifact: ReleasedArtifact) -> TargetFile:
    """Return the artifact as TUF metadata list it."""
    from tuf.api.metadata import TargetFile

    return TargetFile(
        length=artifact.length,
        hashes={SHA256: artifact.digest},
        path=artifact.path,
        unrecognized_fields={"custom": to_plain(artifact.custom)},
    )


def released_artifact(target: TargetFile) -> ReleasedArtifact:
    """Return what the signed metadata say of one artifact.

    Raises:
        RepositoryDamaged: no path or custom field of ours, or the two disagree.
    """
    try:
        release, profile = parse_target_path(target.path)
        custom = from_plain(TargetCustom, target.custom)
        digest = parse_digest(target.hashes.get(SHA256, ""))
    except (InvalidId, DecodeError) as error:
        raise RepositoryDamaged(f"target {target.path}: {error}") from error
    if (custom.release, custom.profile) != (release, profile):
        raise RepositoryDamaged(f"target {target.path} says it is {custom.release} for {custom.profile}")
    return ReleasedArtifact(path=target.path, profile=profile, digest=digest, length=target.length, custom=custom)


def signed_artifacts(targets: Targets) -> tuple[ReleasedArtifact, ...]:
    """Return every artifact that the metadata name, by path.

    Raises:
        RepositoryDamaged: as ``released_artifact``.
    """
    return tuple(released_artifact(targets.targets[path]) for path in sorted(targets.targets))


def releases_of(artifacts: Iterable[ReleasedArtifact]) -> tuple[Release, ...]:
    """Return the artifacts gathered into releases, lowest counter of each model first."""
    by_release: dict[ReleaseId, list[ReleasedArtifact]] = {}
    for artifact in artifacts:
        by_release.setdefault(artifact.custom.release, []).append(artifact)
    releases = [
        Release(id=release, counter=members[0].custom.counter, artifacts=tuple(members))
        for release, members in by_release.items()
    ]
    return tuple(sorted(releases, key=lambda release: (split_release_id(release.id)[0], release.counter)))


def whole_seconds(moment: datetime) -> datetime:
    """Return the moment in UTC without fractions: the form that TUF metadata keep."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, METADATA_LIMIT_BYTES)
    except OSError as error:
        raise RepositoryDamaged(f"cannot read {path}: {error.strerror}; restore it from your copy") from error


def _parse(data: bytes, path: Path) -> Metadata:  # type: ignore[type-arg]  # which role is known after reading
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    try:
        return Metadata.from_bytes(data)
    except DeserializationError as error:
        raise RepositoryDamaged(f"{path} is no TUF metadata; restore it from your copy") from error


def _check_spelling(metadata: Signed, data: bytes, path: Path) -> None:
    lower = all(_LOWER_HEX.fullmatch(signature.signature) for signature in metadata.signatures.values())
    if not lower or metadata.to_bytes() != data:
        raise RepositoryDamaged(f"{path} was written or changed by another tool; restore it from your copy")
