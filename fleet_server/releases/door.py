"""The door: nothing of a release comes in before it is verified. Pure: text and bytes in, facts out.

Order, as for a device: each new root is signed by the root before it and by itself; targets are
signed as the newest root says, newer than what is known and not expired; each target's path, custom
field, index and artifact agree. Signatures are python-tuf's to check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from contracts.artifact import ArtifactHeader, read_artifact_header
from contracts.chunks import ChunkIndex
from contracts.codec import decode
from contracts.errors import ArtifactError, DecodeError
from contracts.ids import Digest, split_release_id
from contracts.metadata import LIMITS_BYTES, MetadataName
from contracts.release import parse_target_path
from fleet_server.errors import BytesDiffer, ReleaseRefused
from signing.errors import SigningError
from signing.metadata import signed_artifacts

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Targets

    from contracts.release import ReleasedArtifact

ONLINE_ROLES = ("snapshot", "timestamp")


def read_first_root(text: str, *, online_keyid: str, now: datetime) -> Root:
    """Return the root that an operator says to trust.

    Raises:
        ReleaseRefused: not a root, not signed by its own keys, expired, or made for another server.
    """
    metadata = _root(text)
    _verify(metadata.signed, "root", metadata, "root does not carry enough valid signatures of its own keys")
    check_root_usable(metadata.signed, online_keyid=online_keyid, now=now)
    return metadata.signed


def follow_roots(trusted: str, offered: Sequence[str]) -> tuple[Root, tuple[str, ...]]:
    """Return the newest root and the texts that are new, each verified by the one before it.

    Roots up to the trusted version may be offered again; they are passed over.

    Raises:
        ReleaseRefused: a version is missing, or a root is not signed by its predecessor and itself.
    """
    current = _root(trusted).signed
    news: list[str] = []
    for text in offered:
        metadata = _root(text)
        root = metadata.signed
        if root.version <= current.version:
            continue
        if root.version != current.version + 1:
            raise ReleaseRefused(
                f"root version {root.version} does not follow {current.version}; send every version in between"
            )
        _verify(current, "root", metadata, f"root version {root.version} is not signed by version {current.version}")
        _verify(root, "root", metadata, f"root version {root.version} is not signed by its own keys")
        current = root
        news.append(text)
    return current, tuple(news)


def check_root_usable(root: Root, *, online_keyid: str, now: datetime) -> None:
    """Accept a root that is in force and lets this server sign snapshot and timestamp.

    Raises:
        ReleaseRefused: expired, or it names other online keys.
    """
    if root.is_expired(now):
        raise ReleaseRefused(f"root version {root.version} expired at {root.expires}; sign a new one")
    for role in ONLINE_ROLES:
        if root.roles[role].keyids != [online_keyid] or root.roles[role].threshold != 1:
            raise ReleaseRefused(
                f"root version {root.version} does not name this server's key {online_keyid[:16]} for {role}; "
                "make the repository with this server's online.pub.json"
            )


def read_targets(text: str, root: Root, *, known: str | None, now: datetime) -> tuple[ReleasedArtifact, ...] | None:
    """Return the artifacts that new targets metadata name; None where they are the known ones again.

    Raises:
        ReleaseRefused: badly signed, expired, or not newer than the known ones.
    """
    metadata = _targets(text)
    targets = metadata.signed
    _verify(root, "targets", metadata, "targets are not signed by the targets key that root names")
    if text == known:
        return None
    newest = _targets(known).signed.version if known is not None else 0
    if targets.version <= newest:
        raise ReleaseRefused(
            f"targets version {targets.version} is not newer than {newest}, which is published; sign a new version"
        )
    if targets.is_expired(now):
        raise ReleaseRefused(f"targets version {targets.version} expired at {targets.expires}; sign a new version")
    try:
        return signed_artifacts(targets)
    except SigningError as error:
        raise ReleaseRefused(str(error)) from error


def targets_version(text: str) -> int:
    """Return the version of targets metadata that were verified before."""
    return _targets(text).signed.version


def check_artifact(artifact: ReleasedArtifact, *, index: bytes, head: bytes, length: int) -> tuple[ChunkIndex, bytes]:
    """Return the artifact's chunk index and encoded header, both in agreement with what was signed.

    Args:
        artifact: what the signed metadata say.
        index: the uploaded index.
        head: the artifact's first bytes, header included.
        length: the artifact's length in bytes.

    Raises:
        BytesDiffer: length, index or manifest are others than those signed for.
    """
    custom = artifact.custom
    chunks = read_index(index)
    header, start = _header(artifact, head)
    manifest = header.manifest
    pairs: Mapping[str, tuple[object, object]] = {
        "length in bytes": (length, artifact.length),
        "length in bytes by its members": (start + sum(member.length for member in header.members), length),
        "index length in bytes": (len(index), custom.index_length),
        "index's artifact": (chunks.artifact, artifact.digest),
        "length in bytes by its index": (sum(chunks.lengths), length),
        "model and version": ((manifest.model, manifest.version), split_release_id(custom.release)),
        "release counter": (manifest.counter, custom.counter),
        "profile": (manifest.profile, custom.profile),
    }
    for what, (found, signed) in pairs.items():
        if found != signed:
            raise BytesDiffer(f"{artifact.path}: {what} is {found}, signed was {signed}; publish what was signed")
    return chunks, head[12:start]


def read_index(body: bytes) -> ChunkIndex:
    """Return the chunk index that the bytes hold.

    Raises:
        BytesDiffer: they hold none.
    """
    try:
        return decode(ChunkIndex, body, limit_bytes=LIMITS_BYTES[MetadataName.INDEX])
    except DecodeError as error:
        raise BytesDiffer(f"not a chunk index: {error}") from error


def check_counters(
    artifacts: Sequence[ReleasedArtifact], known: Mapping[Digest, str], newest_counters: Mapping[str, int]
) -> tuple[ReleasedArtifact, ...]:
    """Return the artifacts that are new, none of which changes or reorders what is published.

    Args:
        artifacts: all that the new targets name.
        known: published artifacts' digests, with their target paths.
        newest_counters: the highest published counter of each model.

    Raises:
        ReleaseRefused: a published path has other bytes now, or a new release has an old counter.
    """
    paths = {path: digest for digest, path in known.items()}
    releases = {parse_target_path(path)[0] for path in paths}
    news = []
    for artifact in artifacts:
        if paths.get(artifact.path, artifact.digest) != artifact.digest:
            raise ReleaseRefused(f"{artifact.path} is published with other bytes; give the release a new version")
        if artifact.digest in known:
            continue
        newest = newest_counters.get(split_release_id(artifact.custom.release)[0], 0)
        if artifact.custom.release not in releases and artifact.custom.counter <= newest:
            raise ReleaseRefused(
                f"{artifact.path}: counter {artifact.custom.counter} is not above {newest}, which is published; "
                "pack the release with a higher counter"
            )
        news.append(artifact)
    return tuple(news)


def _header(artifact: ReleasedArtifact, head: bytes) -> tuple[ArtifactHeader, int]:
    try:
        return read_artifact_header(head)
    except ArtifactError as error:
        raise BytesDiffer(f"{artifact.path}: {error}") from error


def _root(text: str) -> Metadata[Root]:
    from tuf.api.metadata import Root

    metadata = _parse(text, MetadataName.ROOT)
    if not isinstance(metadata.signed, Root):
        raise ReleaseRefused(f"expected root metadata, got {metadata.signed.type}")
    return metadata


def _targets(text: str) -> Metadata[Targets]:
    from tuf.api.metadata import Targets

    metadata = _parse(text, MetadataName.TARGETS)
    if not isinstance(metadata.signed, Targets):
        raise ReleaseRefused(f"expected targets metadata, got {metadata.signed.type}")
    return metadata


def _parse(text: str, what: MetadataName) -> Metadata:  # type: ignore[type-arg]  # the role is known after reading
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    data = text.encode()
    if len(data) > LIMITS_BYTES[what]:
        raise ReleaseRefused(
            f"{what} metadata of {len(data)} bytes are over the limit of {LIMITS_BYTES[what]}, which devices keep to"
        )
    try:
        return Metadata.from_bytes(data)
    except DeserializationError as error:
        raise ReleaseRefused(
            f"this is no {what} metadata; send the file as 'edgeship release sign' wrote it"
        ) from error


def _verify(root: Root, role: str, metadata: Metadata[Root] | Metadata[Targets], refusal: str) -> None:
    from tuf.api.exceptions import UnsignedMetadataError

    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise ReleaseRefused(f"{refusal}; nothing was accepted") from error
