"""A release: one signed version of a model, with one artifact for each profile it was made for.

What is signed is TUF targets metadata; the target path and the ``custom`` field are ours. The path
is ``MODEL/VERSION/PROFILE.artifact`` [wire-6.3]; the custom field says what the device must check before
it fetches a byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.chunks import ChunkIndex
from contracts.codec import encode
from contracts.errors import InvalidId
from contracts.ids import (
    Digest,
    ModelName,
    ProfileName,
    ReleaseId,
    digest_of,
    parse_model_name,
    parse_profile_name,
    parse_release_id,
)

SUFFIX = ".artifact"
FLOORS_FIELD = "floors"
"""Field of signed targets: model name to the lowest counter that may still be installed (the security floor)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCustom:
    """The signed ``custom`` field of one target: what the artifact is and how it is cut.

    ``index`` is the digest of the encoded ChunkIndex, ``index_length`` its length in bytes;
    ``counter`` grows with each release of the model; ``runtime`` is the format of the model file, as in
    ``contracts.manifest.ModelFormat`` (empty: signed before it was stated, which no device takes any more).
    """

    release: ReleaseId
    counter: int
    profile: ProfileName
    index: Digest
    index_length: int
    min_agent_version: str
    runtime: str = ""
    schema: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedArtifact:
    """One artifact of a release, as the signed metadata state it."""

    path: str
    profile: ProfileName
    digest: Digest
    length: int
    custom: TargetCustom


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One signed version of a model."""

    id: ReleaseId
    counter: int
    artifacts: tuple[ReleasedArtifact, ...]


def target_path(model: ModelName, version: str, profile: ProfileName) -> str:
    """Return the TUF target path of that artifact."""
    return f"{model}/{version}/{profile}{SUFFIX}"


def parse_target_path(path: str) -> tuple[ReleaseId, ProfileName]:
    """Return the release and the profile that a target path names.

    Raises:
        InvalidId: the path is not MODEL/VERSION/PROFILE.artifact.
    """
    parts = path.split("/")
    if len(parts) != 3 or not parts[2].endswith(SUFFIX):
        raise InvalidId("target path", path, "it is MODEL/VERSION/PROFILE.artifact")
    release = parse_release_id(f"{parse_model_name(parts[0])}@{parts[1]}")
    return release, parse_profile_name(parts[2].removesuffix(SUFFIX))


def index_digest(index: ChunkIndex) -> tuple[Digest, int]:
    """Return digest and length in bytes of the encoded index: what ``TargetCustom`` states."""
    data = encode(index)
    return digest_of(data), len(data)
