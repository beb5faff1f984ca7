"""Believing nothing in a release repository: every signature, every digest, every manifest.

Order: the chains of both roots, each signed by the threshold before it and by its own; the top targets by root; each
team's listing by the top targets, for its own models alone; then for each artifact its length and digest, its index,
and its manifest against the path and the custom field that were signed; what waits for signatures by the keys that it
names. The first doubt raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from contracts.artifact import read_artifact
from contracts.chunks import ChunkIndex
from contracts.codec import decode, encode
from contracts.errors import ArtifactError, DecodeError
from contracts.ids import digest_of, split_release_id
from contracts.metadata import LIMITS_BYTES, MetadataName
from contracts.release import Release, ReleasedArtifact
from signing.ceremony.pending import Waiting, check_signatures, waiting
from signing.ceremony.plainness import check_plain
from signing.ceremony.roles import check_named_keys, check_one_role_each, keys_by_role
from signing.draft import describe
from signing.durable_file import read_bounded
from signing.errors import DraftRefused, KeyRefused, MetadataExpired, NothingSigned, RepositoryDamaged
from signing.keys import public_of
from signing.metadata import (
    as_listing,
    as_root,
    floors_of,
    models_of,
    owner_of,
    read_root,
    releases_of,
    signed_artifacts,
    teams_of,
)
from signing.places import ROOTS, TARGETS, Place, team_place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuf.api.metadata import Root, Targets

    from signing.ceremony.roles import Delegator
    from signing.metadata import Signed
    from signing.repository import Repository

ARTIFACT_LIMIT_BYTES = 4 * 1024**3
"""Four times what a fleet server takes where its operator does not say otherwise: a bound on what a copy can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedTeam:
    """A team's listing that was found to hold."""

    name: str
    version: int
    expires_at: datetime
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found to hold. Times are when the metadata stop being accepted."""

    root_version: int
    root_expires_at: datetime
    director_root_version: int
    director_root_expires_at: datetime
    targets_version: int
    targets_expires_at: datetime
    teams: tuple[VerifiedTeam, ...]
    releases: tuple[Release, ...]
    floors: Mapping[str, int]
    waiting: tuple[Waiting, ...]


def verify_repository(repository: Repository, now: datetime) -> Verified:
    """Return what the repository holds, all of it checked.

    Raises:
        NothingSigned: a root waits for its first signatures, or there are no targets metadata yet.
        RepositoryDamaged: a signature, a digest or a manifest does not hold; the message names the file.
        MetadataExpired: a root or the top targets are past their time; the message names the command that renews.
    """
    check_waiting(repository)
    root, director = (_trusted_root(repository, place) for place in ROOTS)
    metadata = repository.targets()
    targets = metadata.signed
    check_signed_by(root, TARGETS, metadata, repository.targets_path)
    check_teams(root, director, targets, repository.targets_path)
    check_plain(TARGETS, metadata, repository.targets_path)
    _check_fresh(root, director, targets, now)
    listings = {TARGETS: targets, **_team_listings(repository, targets)}
    artifacts = [
        one for place, listing in listings.items() for one in check_listing(repository, place, listing, targets)
    ]
    releases = releases_of(artifacts)
    _check_counters(releases)
    return Verified(
        root_version=root.version,
        root_expires_at=root.expires,
        director_root_version=director.version,
        director_root_expires_at=director.expires,
        targets_version=targets.version,
        targets_expires_at=targets.expires,
        teams=tuple(_team(place, listing, now) for place, listing in listings.items() if place != TARGETS),
        releases=releases,
        floors={model: floor for one in listings.values() for model, floor in floors_of(one).items()},
        waiting=waiting(repository),
    )


def check_waiting(repository: Repository) -> None:
    """Accept what waits for signatures: each signature there is one of these very bytes, and they rest on what is here.

    Raises:
        RepositoryDamaged: a signature that does not hold or an artifact that is another; the message names it.
    """
    top = repository.newest_targets(TARGETS)
    for place in repository.places():
        metadata, path = repository.pending(place), repository.pending_path(place)
        if metadata is None:
            continue
        check_signatures(repository, place, metadata, path)
        check_plain(place, metadata, path)
        if place.role == "root":
            check_named_keys(as_root(metadata), path)
        else:
            _check_owners(as_listing(metadata), path)
            check_listing(repository, place, as_listing(metadata), top)


def check_signed_by(delegator: Delegator, place: Place, metadata: Signed, path: Path) -> None:
    """Accept metadata that carry the signatures which the delegator asks for.

    Raises:
        RepositoryDamaged: too few of them hold.
    """
    try:
        result = delegator.get_verification_result(place.role, metadata.signed_bytes, metadata.signatures)
    except ValueError as error:
        raise RepositoryDamaged(
            f"{path}: {delegator.type} version {delegator.version} names no {place.name}"
        ) from error
    if not result.verified:
        raise RepositoryDamaged(
            f"{path}: not signed as {delegator.type} version {delegator.version} asks: {len(result.signed)} of "
            f"{result.threshold} signatures of {place.name} hold; restore it from your copy"
        )
    for keyid in metadata.signatures:
        if keyid in result.unsigned:
            raise RepositoryDamaged(
                f"{path}: the signature of {public_of(result.unsigned[keyid]).words} is not of what the file says; "
                "restore it from your copy"
            )


def check_teams(root: Root, director: Root, targets: Targets, path: Path) -> None:
    """Accept keys that stand in one role each, under their own keyids, and teams that own a model each alone.

    Raises:
        RepositoryDamaged: a key in two roles, a keyid that is not its key's, or a model of two teams.
    """
    check_named_keys(targets, path)
    roles = keys_by_role(root, director, targets)
    try:
        check_one_role_each(roles)
    except KeyRefused as error:
        raise RepositoryDamaged(f"{path}: {error}") from error
    _check_owners(targets, path)


def _check_owners(targets: Targets, path: Path) -> None:
    owned: dict[str, str] = {}
    for name, role in teams_of(targets).items():
        for model in models_of(role):
            if model in owned:
                raise RepositoryDamaged(f"{path}: {model} is a model of team {owned[model]} and of team {name}")
            owned[model] = name


def check_listing(
    repository: Repository, place: Place, listing: Targets, top: Targets | None
) -> tuple[ReleasedArtifact, ...]:
    """Return the artifacts of a listing that names those of its own models alone, each of them as it was signed.

    Raises:
        RepositoryDamaged: a release or a floor of another's model, or an artifact that is not what was signed.
    """
    artifacts = signed_artifacts(listing)
    models = {split_release_id(artifact.custom.release)[0] for artifact in artifacts}
    for model in sorted({*models, *floors_of(listing)}):
        owner = owner_of(model, top)
        if owner != place.role:
            raise RepositoryDamaged(
                f"{place.name} speaks of {model}, which is a model of {owner}: take it back with "
                f"'edgeship release withdraw {place.name}', or restore the file from your copy"
            )
    for artifact in artifacts:
        check_artifact(repository, artifact)
    return artifacts


def check_artifact(repository: Repository, artifact: ReleasedArtifact) -> None:
    """Accept an artifact whose file, manifest and index are what the metadata (or the draft) say.

    Raises:
        RepositoryDamaged: one of them is not; the message names it.
    """
    path = repository.artifact_path(artifact.digest)
    data = read_file(path)
    if len(data) != artifact.length or digest_of(data) != artifact.digest:
        raise RepositoryDamaged(f"{path} differs from what was signed for {artifact.path}; restore it from your copy")
    index_path = repository.index_path(artifact.custom.index)
    encoded = read_file(index_path)
    try:
        lengths = decode(ChunkIndex, encoded, limit_bytes=LIMITS_BYTES[MetadataName.INDEX]).lengths
        described, index = describe(read_artifact(data), data, lengths=lengths)
    except (ArtifactError, DecodeError, DraftRefused, ValueError) as error:
        raise RepositoryDamaged(f"{artifact.path}: {error}; restore artifact and index from your copy") from error
    if encoded != encode(index):
        raise RepositoryDamaged(f"{index_path} is not how {artifact.path} is cut; restore it from your copy")
    if described != artifact:
        raise RepositoryDamaged(
            f"{artifact.path}: the manifest says {described.custom.release} for {described.profile}, counter "
            f"{described.custom.counter}; that is not what was signed"
        )


def read_file(path: Path) -> bytes:
    """Return the bytes of a file of a repository.

    Raises:
        RepositoryDamaged: it cannot be read.
    """
    try:
        return read_bounded(path, ARTIFACT_LIMIT_BYTES)
    except OSError as error:
        raise RepositoryDamaged(f"cannot read {path}: {error.strerror}; restore it from your copy") from error


def _trusted_root(repository: Repository, place: Place) -> Root:
    paths = repository.root_paths(place)
    previous: Root | None = None
    for version, path in enumerate(paths, start=1):
        metadata = read_root(path)
        root = metadata.signed
        if root.version != version:
            raise RepositoryDamaged(f"{path} is version {root.version} of {place.name}, not {version}")
        check_named_keys(root, path)
        for signer in (previous, root):
            if signer is not None:
                check_signed_by(signer, place, metadata, path)
        check_plain(place, metadata, path)
        previous = root
    if previous is None:
        raise NothingSigned(
            f"{place.name} waits for its first signatures; run 'edgeship release sign' with the keys it names"
        )
    if repository.path(place).read_bytes() != paths[-1].read_bytes():
        raise RepositoryDamaged(f"{repository.path(place)} is not the newest root; copy {paths[-1].name} over it")
    return previous


def _team_listings(repository: Repository, top: Targets) -> dict[Place, Targets]:
    found = {}
    for team in teams_of(top):
        place = team_place(team)
        metadata = repository.installed(place)
        if metadata is not None:
            check_signed_by(top, place, metadata, repository.path(place))
            found[place] = as_listing(metadata)
    return found


def _team(place: Place, listing: Targets, now: datetime) -> VerifiedTeam:
    expired = listing.is_expired(now)
    return VerifiedTeam(name=place.role, version=listing.version, expires_at=listing.expires, expired=expired)


def _check_fresh(root: Root, director: Root, targets: Targets, now: datetime) -> None:
    for name, one in (("root", root), ("director-root", director)):
        if one.is_expired(now):
            raise MetadataExpired(f"{name} expired on {one.expires:%Y-%m-%d}; run 'edgeship keys renew'")
    if targets.is_expired(now):
        raise MetadataExpired(f"targets expired on {targets.expires:%Y-%m-%d}; run 'edgeship release sign --renew'")


def _check_counters(releases: Sequence[Release]) -> None:
    taken: dict[tuple[str, int], Release] = {}
    for release in releases:
        if any(artifact.custom.counter != release.counter for artifact in release.artifacts):
            raise RepositoryDamaged(f"{release.id} has artifacts with different counters")
        key = (split_release_id(release.id)[0], release.counter)
        if key in taken:
            raise RepositoryDamaged(f"{release.id} and {taken[key].id} both have counter {release.counter}")
        taken[key] = release
