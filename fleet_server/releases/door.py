"""The door: nothing of a release comes in before it is verified. Pure: text and bytes in, facts out.

What signs for it is verified first (``trust.roots``, ``trust.listing``); here each listed target is held against
what is published, and its path, custom field, index and artifact must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.artifact import ArtifactHeader, read_artifact_header
from contracts.chunks import ChunkIndex
from contracts.codec import Plain, decode
from contracts.errors import ArtifactError, DecodeError
from contracts.ids import Digest, ModelName, ReleaseId, split_release_id
from contracts.metadata import LIMITS_BYTES, MetadataName
from fleet_server.errors import BytesDiffer, ReleaseRefused

if TYPE_CHECKING:
    from contracts.release import ReleasedArtifact
    from fleet_server.trust.listing import Listed

_MAY_CHANGE = ("min_agent_version", "runtime", "schema")
"""What may be signed anew of a published artifact: who may run it, not what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedArtifact:
    """One published artifact; ``target`` is the TUF target as it was signed last."""

    digest: Digest
    release: ReleaseId
    counter: int
    target: Mapping[str, Plain]
    is_revoked: bool


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


def check_news(
    listed: Sequence[Listed], published: Mapping[str, PublishedArtifact], newest_counters: Mapping[ModelName, int]
) -> tuple[Listed, ...]:
    """Return what is new of the listing, none of which changes, reorders or brings back what is published.

    Args:
        listed: all that the signed metadata list.
        published: what is published, by target path.
        newest_counters: the highest published counter of each model.

    Raises:
        ReleaseRefused: a published path has other bytes now, a revoked release comes back, or a new one has an old
            counter or that of another.
    """
    counters = {known.release: known.counter for known in published.values()}
    holders = {(split_release_id(release)[0], counter): release for release, counter in counters.items()}
    news = []
    for entry in listed:
        artifact, custom = entry.artifact, entry.artifact.custom
        known = published.get(artifact.path)
        if known is not None:
            _check_known(entry, known)
            continue
        model, _ = split_release_id(custom.release)
        newest = newest_counters.get(model, 0)
        if custom.release not in counters and custom.counter <= newest:
            raise ReleaseRefused(
                f"{artifact.path}: counter {custom.counter} is not above {newest}, which is published; "
                "pack the release with a higher counter"
            )
        if counters.setdefault(custom.release, custom.counter) != custom.counter:
            raise ReleaseRefused(
                f"{artifact.path}: counter {custom.counter}, and {counters[custom.release]} for another profile of "
                "the release; pack all of them with one counter"
            )
        holder = holders.setdefault((model, custom.counter), custom.release)
        if holder != custom.release:
            raise ReleaseRefused(
                f"{artifact.path}: counter {custom.counter} is that of {holder}; pack the release with a higher counter"
            )
        if any(other.release == custom.release and other.is_revoked for other in published.values()):
            raise _comes_back(artifact.path, custom.release)
        news.append(entry)
    return tuple(news)


def check_floors(
    floors: Mapping[ModelName, int], listed: Sequence[Listed], newest_counters: Mapping[ModelName, int]
) -> None:
    """Accept floors that bar no release yet to be made, but the one after the newest.

    Raises:
        ReleaseRefused: a floor is higher: whoever signs for a team could end a model for ever with one number.
    """
    newest = dict(newest_counters)
    for entry in listed:
        model = split_release_id(entry.artifact.custom.release)[0]
        newest[model] = max(entry.artifact.custom.counter, newest.get(model, 0))
    for model, floor in floors.items():
        if floor > newest.get(model, 0) + 1:
            raise ReleaseRefused(
                f"the floor of {model} is {floor}, its newest release has counter {newest.get(model, 0)}; "
                "a floor is at most one above it"
            )


def _check_known(entry: Listed, known: PublishedArtifact) -> None:
    path, custom = entry.artifact.path, entry.artifact.custom
    if entry.artifact.digest != known.digest:
        raise ReleaseRefused(f"{path} is published with other bytes; give the release a new version")
    if known.is_revoked:
        raise _comes_back(path, custom.release)
    if custom.counter != known.counter or (known.target and _fixed(entry.target) != _fixed(known.target)):
        raise ReleaseRefused(f"{path} is published with another custom field; give the release a new version")


def _fixed(target: Mapping[str, Plain]) -> Mapping[str, Plain]:
    custom = target.get("custom")
    fields = (
        {name: value for name, value in custom.items() if name not in _MAY_CHANGE} if isinstance(custom, dict) else {}
    )
    return {**target, "custom": fields}


def _comes_back(path: str, release: ReleaseId) -> ReleaseRefused:
    return ReleaseRefused(f"{path}: {release} was revoked, and that is for good; release it under a new version")


def _header(artifact: ReleasedArtifact, head: bytes) -> tuple[ArtifactHeader, int]:
    try:
        return read_artifact_header(head)
    except ArtifactError as error:
        raise BytesDiffer(f"{artifact.path}: {error}") from error
