"""Releases in the database: signed documents, chunk indexes, artifacts, and transfer counters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from contracts.artifact import HEADER_LIMIT_BYTES, ArtifactHeader
from contracts.codec import decode
from contracts.ids import DeviceId, Digest, ProfileName, ReleaseId, TenantId, split_release_id
from contracts.release import target_path
from fleet_server.database.tables import (
    ArtifactRow,
    ChunkIndexRow,
    DeviceRow,
    MetadataDocumentRow,
    ReleaseRow,
    TransferRow,
)
from fleet_server.errors import BytesMissing, NotFound
from fleet_server.readmodel import ReleasedArtifactView, ReleaseView
from fleet_server.releases.transfer import Counters

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from contracts.chunks import ChunkIndex
    from contracts.manifest import ArtifactManifest
    from contracts.metadata import MetadataName
    from contracts.release import ReleasedArtifact


def tenants(session: Session) -> tuple[TenantId, ...]:
    """Return every tenant that has signed documents."""
    return tuple(session.scalars(select(MetadataDocumentRow.tenant).distinct()))


def newest_document(session: Session, tenant: TenantId, role: MetadataName) -> MetadataDocumentRow | None:
    """Return the role's newest signed file, if there is any."""
    return session.scalar(
        select(MetadataDocumentRow)
        .where(MetadataDocumentRow.tenant == tenant, MetadataDocumentRow.role == role)
        .order_by(MetadataDocumentRow.version.desc())
        .limit(1)
    )


def find_document(session: Session, tenant: TenantId, role: MetadataName, version: int) -> MetadataDocumentRow | None:
    """Return that version of the role's signed file, if we have it."""
    return session.get(MetadataDocumentRow, (tenant, role, version))


def put_document(
    session: Session, tenant: TenantId, role: MetadataName, *, version: int, text: str, now: datetime
) -> None:
    """Keep a signed file."""
    session.add(MetadataDocumentRow(tenant=tenant, role=role, version=version, text=text, received_at=now))
    session.flush()


def drop_documents(session: Session, tenant: TenantId, role: MetadataName, *, older_than: int) -> None:
    """Forget the role's files of versions below that one."""
    session.execute(
        delete(MetadataDocumentRow).where(
            MetadataDocumentRow.tenant == tenant,
            MetadataDocumentRow.role == role,
            MetadataDocumentRow.version < older_than,
        )
    )


def keep_index(
    session: Session, tenant: TenantId, digest: Digest, *, index: ChunkIndex, body: bytes, now: datetime
) -> None:
    """Keep an uploaded chunk index; a second upload changes nothing."""
    if session.get(ChunkIndexRow, (tenant, digest)) is None:
        session.add(
            ChunkIndexRow(
                tenant=tenant,
                digest=digest,
                artifact=index.artifact,
                chunks=len(index.digests),
                body=body,
                received_at=now,
            )
        )
        session.flush()


def find_index(session: Session, tenant: TenantId, digest: Digest) -> bytes:
    """Return the encoded chunk index.

    Raises:
        BytesMissing: it was not uploaded.
    """
    row = session.get(ChunkIndexRow, (tenant, digest))
    if row is None:
        raise BytesMissing(f"chunk index {digest} was not uploaded; upload it before the metadata")
    return row.body


def published_artifacts(session: Session, tenant: TenantId) -> Mapping[Digest, str]:
    """Return the target path of each published artifact, by digest."""
    rows = session.execute(
        select(ArtifactRow.digest, ArtifactRow.release, ArtifactRow.profile).where(ArtifactRow.tenant == tenant)
    )
    return {digest: target_path(*split_release_id(release), profile) for digest, release, profile in rows}


def artifact_length(session: Session, tenant: TenantId, digest: Digest) -> int | None:
    """Return the published artifact's length in bytes; None where it is not published."""
    row = session.get(ArtifactRow, (tenant, digest))
    return row.length if row else None


def newest_counters(session: Session, tenant: TenantId) -> Mapping[str, int]:
    """Return the highest published counter of each model."""
    rows = session.execute(
        select(ReleaseRow.model, func.max(ReleaseRow.counter))
        .where(ReleaseRow.tenant == tenant)
        .group_by(ReleaseRow.model)
    )
    return {model: counter for model, counter in rows}  # noqa: C416 - dict(rows) is not typed


def add_artifact(
    session: Session,
    tenant: TenantId,
    artifact: ReleasedArtifact,
    *,
    header: bytes,
    targets_version: int,
    now: datetime,
) -> None:
    """Make the artifact a part of its release; the first one makes the release."""
    custom = artifact.custom
    if session.get(ReleaseRow, (tenant, custom.release)) is None:
        session.add(
            ReleaseRow(
                tenant=tenant,
                id=custom.release,
                model=split_release_id(custom.release)[0],
                counter=custom.counter,
                targets_version=targets_version,
                published_at=now,
            )
        )
        session.flush()
    session.add(
        ArtifactRow(
            tenant=tenant,
            digest=artifact.digest,
            release=custom.release,
            profile=custom.profile,
            length=artifact.length,
            index_digest=custom.index,
            header=header,
        )
    )
    session.flush()


def list_releases(session: Session, tenant: TenantId) -> tuple[ReleaseView, ...]:
    """Return all published releases, newest first."""
    artifacts: dict[ReleaseId, list[ReleasedArtifactView]] = {}
    for row in session.execute(
        select(ArtifactRow.release, ArtifactRow.profile, ArtifactRow.digest, ArtifactRow.length)
        .where(ArtifactRow.tenant == tenant)
        .order_by(ArtifactRow.profile)
    ):
        artifacts.setdefault(row.release, []).append(
            ReleasedArtifactView(profile=row.profile, digest=row.digest, length=row.length)
        )
    running = versions_running(session, tenant)
    rows = session.scalars(
        select(ReleaseRow)
        .where(ReleaseRow.tenant == tenant)
        .order_by(ReleaseRow.published_at.desc(), ReleaseRow.counter.desc(), ReleaseRow.id)
    )
    return tuple(
        ReleaseView(
            id=row.id,
            counter=row.counter,
            published_at=row.published_at,
            artifacts=tuple(artifacts.get(row.id, ())),
            running_on=running.get(row.id, 0),
        )
        for row in rows
    )


def versions_running(session: Session, tenant: TenantId) -> Mapping[ReleaseId, int]:
    """Return how many devices say they run each release."""
    counts: dict[ReleaseId, int] = {}
    for running in session.scalars(select(DeviceRow.running).where(DeviceRow.tenant == tenant)):
        for release in running.values():
            counts[ReleaseId(release)] = counts.get(ReleaseId(release), 0) + 1
    return counts


def manifest_of(session: Session, tenant: TenantId, release: ReleaseId, profile: ProfileName) -> ArtifactManifest:
    """Return the manifest of the release's artifact for the profile: sketch plan, budget, labels and the rest.

    Raises:
        NotFound: the release has no artifact for that profile.
    """
    header = session.scalar(
        select(ArtifactRow.header).where(
            ArtifactRow.tenant == tenant, ArtifactRow.release == release, ArtifactRow.profile == profile
        )
    )
    if header is None:
        raise NotFound(f"artifact of {release} for profile", profile)
    return decode(ArtifactHeader, header, limit_bytes=HEADER_LIMIT_BYTES).manifest


def assigned_artifact(session: Session, tenant: TenantId, device: DeviceId, index: Digest) -> Digest | None:
    """Return the artifact with that index, if the device was offered or runs its release."""
    row = session.get(DeviceRow, (tenant, device))
    if row is None:
        return None
    wanted = {row.offered_release, *row.running.values()} - {None}
    return session.scalar(
        select(ArtifactRow.digest).where(
            ArtifactRow.tenant == tenant,
            ArtifactRow.index_digest == index,
            ArtifactRow.profile == row.profile,
            ArtifactRow.release.in_(wanted),
        )
    )


def find_counters(session: Session, tenant: TenantId, device: DeviceId, index: Digest) -> Counters:
    """Return the transfer's counters; all zero where nothing was asked for yet."""
    row = session.get(TransferRow, (tenant, device, index))
    if row is None:
        return Counters()
    return Counters(
        requested=row.requested,
        distinct=int.from_bytes(row.distinct_places, "little"),
        verified=int.from_bytes(row.verified_places, "little"),
        repeated_verified=row.repeated_verified,
    )


def put_counters(
    session: Session,
    tenant: TenantId,
    device: DeviceId,
    index: Digest,
    *,
    chunks: int,
    counters: Counters,
    artifact: Digest,
    now: datetime,
) -> None:
    """Write the transfer's counters down."""
    row = session.get(TransferRow, (tenant, device, index))
    if row is None:
        row = TransferRow(
            tenant=tenant, device=device, index_digest=index, artifact=artifact, chunks=chunks, started_at=now
        )
        session.add(row)
    row.requested = counters.requested
    row.distinct_places = _bitmap(counters.distinct)
    row.verified_places = _bitmap(counters.verified)
    row.repeated_verified = counters.repeated_verified
    row.updated_at = now
    session.flush()


def _bitmap(places: int) -> bytes:
    return places.to_bytes((places.bit_length() + 7) // 8, "little")
