"""Bringing what is signed to a fleet server: bytes first, then the metadata that name them.

A release exists on the server only when its metadata are accepted, so an interrupted publication
leaves nothing half released: publish again. Drafts stay here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from contracts.ids import Digest, ReleaseId
from signing.connection import ServerConnection, Upload
from signing.errors import ServerConfusing
from signing.metadata import as_listing, signed_artifacts
from signing.places import DIRECTOR_ROOT, MODELS_ROOT, team_place

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from contracts.release import ReleasedArtifact
    from signing.repository import Repository
    from signing.verification import Verified

PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadProgress:
    """How far the bytes are: ``sent_bytes`` of ``total_bytes`` over all artifacts of this publication."""

    path: str
    sent_bytes: int
    total_bytes: int


Progress: TypeAlias = Callable[[UploadProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the server took: releases new to it, those taken back, how many bytes travelled; expired teams stay out.

    ``waiting_for_team`` are releases that the server had, and which nothing in force lists until that team has signed.
    """

    releases: tuple[ReleaseId, ...]
    taken_back: tuple[ReleaseId, ...]
    artifacts_sent: int
    bytes_sent: int
    targets_version: int
    root_version: int
    director_root_version: int
    teams_left_out: tuple[str, ...] = ()
    waiting_for_team: tuple[tuple[ReleaseId, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The signed files as they travel: all roots, first to newest, the top targets, each team's listing by name."""

    roots: tuple[str, ...]
    targets: str
    teams: Mapping[str, str]
    director_roots: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownArtifact:
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownRelease:
    id: ReleaseId
    artifacts: tuple[_KnownArtifact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownReleases:
    releases: tuple[_KnownRelease, ...]


def publish(
    repository: Repository, connection: ServerConnection, *, now: datetime, progress: Progress | None = None
) -> Published:
    """Bring every signed release to the server and return what was new to it.

    Everything is verified here first; artifacts that the server already offers are not sent again.

    Raises:
        RepositoryError: nothing is signed, or something in the repository does not hold.
        ServerUnreachable: no answer.
        ServerRefused: the server's sentence says why.
    """
    verified = repository.verify(now)
    there = _releases(connection.get_json("/api/v1/releases"))
    known = {artifact.digest for release in there for artifact in release.artifacts}
    missing = [
        artifact for release in verified.releases for artifact in release.artifacts if artifact.digest not in known
    ]
    total = sum(artifact.length for artifact in missing)
    sent = 0
    for artifact in missing:
        _send_artifact(repository, connection, artifact, _counted(progress, artifact.path, sent, total))
        sent += artifact.length
    listed = {release.id for release in verified.releases}
    changed = _send_metadata(repository, connection, verified)
    return Published(
        releases=tuple(release for release in changed if release in listed),
        taken_back=tuple(release for release in changed if release not in listed),
        root_version=verified.root_version,
        director_root_version=verified.director_root_version,
        artifacts_sent=len(missing),
        bytes_sent=sent,
        targets_version=verified.targets_version,
        teams_left_out=tuple(team.name for team in verified.teams if team.expired),
        waiting_for_team=_waiting_for_team(repository, {release.id for release in there} - listed),
    )


def _waiting_for_team(repository: Repository, unlisted: AbstractSet[ReleaseId]) -> tuple[tuple[ReleaseId, str], ...]:
    pending = ((place.name, repository.pending(place)) for place in repository.listings())
    named = {
        (one.custom.release, team)
        for team, metadata in pending
        if metadata is not None
        for one in signed_artifacts(as_listing(metadata))
        if one.custom.release in unlisted
    }
    return tuple(sorted(named))


def _counted(progress: Progress | None, path: str, before: int, total: int) -> Callable[[int], None]:
    def tell(sent: int) -> None:
        if progress is not None:
            progress(UploadProgress(path=path, sent_bytes=before + sent, total_bytes=total))

    return tell


def _send_artifact(
    repository: Repository, connection: ServerConnection, artifact: ReleasedArtifact, tell: Callable[[int], None]
) -> None:
    connection.upload(
        f"/api/v1/artifacts/{artifact.digest}",
        Upload(pieces=_pieces(repository.artifact_path(artifact.digest), tell), length=artifact.length),
    )
    index = repository.index_path(artifact.custom.index).read_bytes()
    connection.upload(
        f"/api/v1/indexes/{artifact.custom.index}",
        Upload(pieces=iter((index,)), length=len(index), content_type="application/cbor"),
    )


def submission_of(repository: Repository, verified: Verified) -> Submission:
    """Return the signed files that go to the server; a team whose listing has expired stays here."""
    teams = [team.name for team in verified.teams if not team.expired]
    return Submission(
        roots=tuple(path.read_text("utf-8") for path in repository.root_paths(MODELS_ROOT)),
        targets=repository.targets_path.read_text("utf-8"),
        teams={team: repository.path(team_place(team)).read_text("utf-8") for team in teams},
        director_roots=tuple(path.read_text("utf-8") for path in repository.root_paths(DIRECTOR_ROOT)),
    )


def _send_metadata(repository: Repository, connection: ServerConnection, verified: Verified) -> tuple[ReleaseId, ...]:
    submission = submission_of(repository, verified)
    answer = connection.send_json("POST", "/api/v1/metadata", to_plain(submission))
    return tuple(release.id for release in _releases(answer))


def _pieces(path: Path, tell: Callable[[int], None]) -> Iterator[bytes]:
    sent = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
            sent += len(piece)
            tell(sent)


def _releases(plain: object) -> tuple[_KnownRelease, ...]:
    try:
        return from_plain(_KnownReleases, {"releases": plain}).releases
    except DecodeError as error:
        raise ServerConfusing(
            f"the server's list of releases cannot be read ({error}); is it a fleet server?"
        ) from error
