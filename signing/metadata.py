"""TUF metadata files: read strictly, written exactly.

A file counts only if it is, byte for byte, what python-tuf writes for its content, with signatures
in lower case: a signature covers the meaning of the JSON, not its spelling, so a changed
spelling would verify. Here it does not: one content, one file, one digest.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from contracts.codec import from_plain
from contracts.errors import DecodeError, InvalidId
from contracts.ids import ReleaseId, parse_digest, split_release_id
from contracts.release import Release, ReleasedArtifact, TargetCustom, parse_target_path
from signing.errors import RepositoryDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tuf.api.metadata import Metadata, Root, TargetFile, Targets

SHA256 = "sha256"
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
        return path.read_bytes()
    except OSError as error:
        raise RepositoryDamaged(f"cannot read {path}: {error.strerror}; restore it from your copy") from error


def _parse(data: bytes, path: Path) -> Metadata:  # type: ignore[type-arg]  # which role is known after reading
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    try:
        return Metadata.from_bytes(data)
    except DeserializationError as error:
        raise RepositoryDamaged(f"{path} is no TUF metadata; restore it from your copy") from error


def _check_spelling(metadata: Metadata[Root] | Metadata[Targets], data: bytes, path: Path) -> None:
    lower = all(_LOWER_HEX.fullmatch(signature.signature) for signature in metadata.signatures.values())
    if not lower or metadata.to_bytes() != data:
        raise RepositoryDamaged(f"{path} was written or changed by another tool; restore it from your copy")
