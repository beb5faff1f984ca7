"""What is about to be signed: a list of artifacts in ``draft.json``, which nobody has to trust.

A release is one version of a model with one artifact for each profile. Its counter is larger
than that of every earlier release of the model, so that "older" has one meaning for good; and once
signed it does not change. ``admit`` holds those rules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.artifact import Artifact
from contracts.chunks import DEFAULT_CHUNK_BYTES, MAX_CHUNK_BYTES, ChunkIndex, cut, index_of
from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError, InvalidId
from contracts.ids import digest_of, parse_model_name, parse_profile_name, release_id, split_release_id
from contracts.release import ReleasedArtifact, TargetCustom, index_digest, target_path
from signing.durable_file import read_bounded, write_durably
from signing.errors import DraftRefused, RepositoryDamaged
from signing.metadata import MAX_COUNTER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DRAFT_LIMIT_BYTES = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Artifacts that wait for a signature, by path."""

    artifacts: tuple[ReleasedArtifact, ...] = ()
    schema: int = 1

    def with_artifact(self, artifact: ReleasedArtifact) -> Draft:
        """Return the draft with the artifact, in place of an earlier one for the same path."""
        others = tuple(other for other in self.artifacts if other.path != artifact.path)
        return Draft(artifacts=tuple(sorted((*others, artifact), key=lambda one: one.path)))


def describe(
    artifact: Artifact, data: bytes, *, chunk_bytes: int = DEFAULT_CHUNK_BYTES, lengths: Sequence[int] = ()
) -> tuple[ReleasedArtifact, ChunkIndex]:
    """Return what the signed metadata will say of the artifact, and how its bytes are cut.

    They are cut by content, ``chunk_bytes`` on average, or as they were before: into chunks of the given lengths.

    Raises:
        DraftRefused: its manifest's names have no place in a target path, or no message carries such chunks.
    """
    manifest = artifact.manifest
    try:
        model, profile = parse_model_name(manifest.model), parse_profile_name(manifest.profile)
        release = release_id(model, manifest.version)
    except InvalidId as error:
        raise DraftRefused(f"the artifact cannot be released: {error}; pack it again") from error
    if not 0 < manifest.counter <= MAX_COUNTER:
        raise DraftRefused(f"{release}: counter {manifest.counter} is not 1 to {MAX_COUNTER}; pack it again")
    if not 0 < chunk_bytes <= MAX_CHUNK_BYTES:
        raise DraftRefused(f"{release}: chunks of {chunk_bytes} bytes do not travel; use 1 to {MAX_CHUNK_BYTES}")
    index = index_of(data, lengths) if lengths else cut(data, chunk_bytes)
    digest, length = index_digest(index)
    custom = TargetCustom(
        release=release,
        counter=manifest.counter,
        profile=profile,
        index=digest,
        index_length=length,
        min_agent_version=manifest.min_agent_version,
        runtime=str(manifest.format),
    )
    path = target_path(model, manifest.version, profile)
    return ReleasedArtifact(path=path, profile=profile, digest=digest_of(data), length=len(data), custom=custom), index


def admit(
    artifact: ReleasedArtifact,
    draft: Draft,
    signed: Sequence[ReleasedArtifact],
    *,
    floors: Mapping[str, int] | None = None,
) -> Draft:
    """Return the draft with the artifact in it.

    Drafting the same path again replaces it; an artifact that is signed already, byte for byte,
    changes nothing. ``floors`` are the lowest counters that devices still install, by model.

    Raises:
        DraftRefused: its release is signed already, or its counter breaks the model's order or is under the floor.
    """
    if artifact in signed:
        return draft
    custom = artifact.custom
    if any(other.custom.release == custom.release for other in signed):
        raise DraftRefused(f"{custom.release} is signed and does not change; pack the artifact as a new version")
    floor = (floors or {}).get(split_release_id(custom.release)[0], 1)
    if custom.counter < floor:
        raise DraftRefused(
            f"{custom.release}: counter {custom.counter} is under the floor of {floor}, below which devices install "
            f"nothing any more; pack it with counter {floor} or more"
        )
    drafted = [other for other in draft.artifacts if other.path != artifact.path]
    companions = [other for other in drafted if other.custom.release == custom.release]
    if companions:
        _check_one_counter(artifact, companions[0])
    else:
        _check_counter_grows(artifact, (*signed, *drafted))
    return draft.with_artifact(artifact)


def read_draft(path: Path) -> Draft:
    """Return the draft in the file; an empty one where there is none.

    Raises:
        RepositoryDamaged: the file is not a draft.
    """
    try:
        return from_plain(Draft, json.loads(read_bounded(path, DRAFT_LIMIT_BYTES)))
    except FileNotFoundError:
        return Draft()
    except (OSError, ValueError, DecodeError) as error:
        raise RepositoryDamaged(f"{path} is no draft ({error}); delete it and draft again") from error


def write_draft(path: Path, draft: Draft) -> None:
    """Make the file hold the draft; an empty draft has no file."""
    if draft.artifacts:
        write_durably(path, json.dumps(to_plain(draft), indent=2).encode() + b"\n")
    else:
        path.unlink(missing_ok=True)


def _check_one_counter(artifact: ReleasedArtifact, companion: ReleasedArtifact) -> None:
    mine, theirs = artifact.custom, companion.custom
    if mine.counter != theirs.counter:
        raise DraftRefused(
            f"{mine.release} has one counter; this artifact says {mine.counter}, the drafted one for "
            f"{theirs.profile} says {theirs.counter}; pack both with the same"
        )


def _check_counter_grows(artifact: ReleasedArtifact, others: Sequence[ReleasedArtifact]) -> None:
    custom = artifact.custom
    model, _ = split_release_id(custom.release)
    counters = {
        other.custom.counter: other.custom.release
        for other in others
        if split_release_id(other.custom.release)[0] == model
    }
    newest = max(counters, default=0)
    if custom.counter <= newest:
        raise DraftRefused(
            f"{custom.release}: counter {custom.counter} must be larger than {newest} of {counters[newest]}; "
            f"pack it with counter {newest + 1} or more"
        )
