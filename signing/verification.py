"""Believing nothing in a release repository: every signature, every digest, every manifest.

Order: the chain of roots, each signed by itself and by the one before it; targets by root; then for
each artifact its length and digest, its index, and its manifest against the path and the custom
field that were signed. The first doubt raises.
"""

from __future__ import annotations

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
from signing.draft import describe
from signing.errors import DraftRefused, MetadataExpired, RepositoryDamaged
from signing.metadata import read_root, releases_of, signed_artifacts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuf.api.metadata import Metadata, Root, Targets

    from signing.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found to hold. Times are when the metadata stop being accepted."""

    root_version: int
    root_expires_at: datetime
    targets_version: int
    targets_expires_at: datetime
    releases: tuple[Release, ...]


def verify_repository(repository: Repository, now: datetime) -> Verified:
    """Return what the repository holds, all of it checked.

    Raises:
        NothingSigned: there are no targets metadata yet.
        RepositoryDamaged: a signature, a digest or a manifest does not hold; the message names the file.
        MetadataExpired: root or targets are past their time; the message names the command that renews.
    """
    root = _trusted_root(repository)
    targets = repository.targets()
    check_targets_signed(root, targets, repository.targets_path)
    _check_fresh(root, targets.signed, now)
    artifacts = signed_artifacts(targets.signed)
    for artifact in artifacts:
        check_artifact(repository, artifact)
    releases = releases_of(artifacts)
    _check_counters(releases)
    return Verified(
        root_version=root.version,
        root_expires_at=root.expires,
        targets_version=targets.signed.version,
        targets_expires_at=targets.signed.expires,
        releases=releases,
    )


def check_targets_signed(root: Root, targets: Metadata[Targets], path: Path) -> None:
    """Accept targets metadata that the key named by root has signed.

    Raises:
        RepositoryDamaged: it has not.
    """
    from tuf.api.exceptions import UnsignedMetadataError

    try:
        root.verify_delegate("targets", targets.signed_bytes, targets.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise RepositoryDamaged(
            f"{path}: not signed by the targets key that root names; restore it from your copy"
        ) from error


def check_artifact(repository: Repository, artifact: ReleasedArtifact) -> None:
    """Accept an artifact whose file, manifest and index are what the metadata (or the draft) say.

    Raises:
        RepositoryDamaged: one of them is not; the message names it.
    """
    path = repository.artifact_path(artifact.digest)
    data = _read(path)
    if len(data) != artifact.length or digest_of(data) != artifact.digest:
        raise RepositoryDamaged(f"{path} differs from what was signed for {artifact.path}; restore it from your copy")
    index_path = repository.index_path(artifact.custom.index)
    encoded = _read(index_path)
    try:
        chunk_bytes = decode(ChunkIndex, encoded, limit_bytes=LIMITS_BYTES[MetadataName.INDEX]).lengths[0]
        described, index = describe(read_artifact(data), data, chunk_bytes=chunk_bytes)
    except (ArtifactError, DecodeError, DraftRefused, IndexError) as error:
        raise RepositoryDamaged(f"{artifact.path}: {error}; restore artifact and index from your copy") from error
    if encoded != encode(index):
        raise RepositoryDamaged(f"{index_path} is not how {artifact.path} is cut; restore it from your copy")
    if described != artifact:
        raise RepositoryDamaged(
            f"{artifact.path}: the manifest says {described.custom.release} for {described.profile}, counter "
            f"{described.custom.counter}; that is not what was signed"
        )


def _trusted_root(repository: Repository) -> Root:
    paths = repository.root_paths()
    previous: Root | None = None
    for version, path in enumerate(paths, start=1):
        metadata = read_root(path)
        if metadata.signed.version != version:
            raise RepositoryDamaged(f"{path} is version {metadata.signed.version} of root, not {version}")
        for signer in (previous, metadata.signed):
            if signer is not None:
                _check_root_signed(signer, metadata, path)
        previous = metadata.signed
    if previous is None or repository.root_path.read_bytes() != paths[-1].read_bytes():
        raise RepositoryDamaged(f"{repository.root_path} is not the newest root; copy {paths[-1].name} over it")
    return previous


def _check_root_signed(signer: Root, metadata: Metadata[Root], path: Path) -> None:
    from tuf.api.exceptions import UnsignedMetadataError

    try:
        signer.verify_delegate("root", metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise RepositoryDamaged(
            f"{path}: not signed by the root key of version {signer.version}; restore it from your copy"
        ) from error


def _check_fresh(root: Root, targets: Targets, now: datetime) -> None:
    if root.is_expired(now):
        raise MetadataExpired(f"root expired on {root.expires:%Y-%m-%d}; it has to be renewed with the root key")
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RepositoryDamaged(f"cannot read {path}: {error.strerror}; restore it from your copy") from error
