"""Releases in the database: signed documents, chunk indexes, artifacts, and transfer counters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import defer

from contracts.artifact import HEADER_LIMIT_BYTES, ArtifactHeader
from contracts.codec import decode
from contracts.ids import DeviceId, Digest, ModelName, ProfileName, ReleaseId, TenantId, split_release_id
from contracts.release import target_path
from fleet_server.database.tables import (
    ArtifactRow,
    ChunkIndexRow,
    DeviceRow,
    ReleaseRow,
    TenantRow,
    TransferRow,
)
from fleet_server.database.trust_tables import MetadataDocumentRow
from fleet_server.errors import BytesMissing, NotFound
from fleet_server.readmodel import ReleasedArtifactView, ReleaseView
from fleet_server.releases.door import PublishedArtifact
from fleet_server.releases.standing import barred_releases
from fleet_server.releases.transfer import Counters
from fleet_server.trust.signed_file import read_targets

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from contracts.chunks import ChunkIndex
    from contracts.manifest import ArtifactManifest
    from fleet_server.trust.listing import Listed


TARGETS = "targets"
DIRECTOR_ROOT = "director/root"


def tenants(session: Session) -> tuple[TenantId, ...]:
    """Return every tenant that has signed documents."""
    return tuple(session.scalars(select(MetadataDocumentRow.tenant).distinct()))


def lock_tenant(session: Session, tenant: TenantId) -> None:
    """Let nobody else sign for the tenant until this transaction ends."""
    session.get(TenantRow, tenant, with_for_update=True)


def team_role(team: str) -> str:
    """Return the role under which a team's file is kept; empty: top targets."""
    return f"{TARGETS}/{team}" if team else TARGETS


def newest_document(session: Session, tenant: TenantId, role: str) -> MetadataDocumentRow | None:
    """Return the role's newest signed file, if there is any."""
    return session.scalar(
        select(MetadataDocumentRow)
        .where(MetadataDocumentRow.tenant == tenant, MetadataDocumentRow.role == role)
        .order_by(MetadataDocumentRow.version.desc())
        .limit(1)
    )


def newest_listing(session: Session, tenant: TenantId) -> Mapping[str, MetadataDocumentRow]:
    """Return the newest targets files: top targets under ``targets``, each team's under its name."""
    newest = (
        select(MetadataDocumentRow.role, func.max(MetadataDocumentRow.version).label("version"))
        .where(
            MetadataDocumentRow.tenant == tenant,
            or_(MetadataDocumentRow.role == TARGETS, MetadataDocumentRow.role.startswith(f"{TARGETS}/")),
        )
        .group_by(MetadataDocumentRow.role)
        .subquery()
    )
    rows = session.scalars(
        select(MetadataDocumentRow)
        .join(
            newest,
            (MetadataDocumentRow.role == newest.c.role) & (MetadataDocumentRow.version == newest.c.version),
        )
        .where(MetadataDocumentRow.tenant == tenant)
        .order_by(MetadataDocumentRow.role)
    )
    return {row.role.removeprefix(f"{TARGETS}/"): row for row in rows}


def counting_files(session: Session, tenant: TenantId) -> Mapping[str, MetadataDocumentRow]:
    """Return the newest targets files that count: top targets, and those of the teams that they name now."""
    newest = newest_listing(session, tenant)
    if TARGETS not in newest:
        return {}
    delegations = read_targets(newest[TARGETS].text, TARGETS).signed.delegations
    teams = (delegations.roles or {}) if delegations else {}
    return {name: row for name, row in newest.items() if name == TARGETS or name in teams}


def find_document(session: Session, tenant: TenantId, role: str, version: int) -> MetadataDocumentRow | None:
    """Return that version of the role's signed file, if we have it."""
    return session.get(MetadataDocumentRow, (tenant, role, version))


def put_document(session: Session, tenant: TenantId, role: str, *, version: int, text: str, now: datetime) -> None:
    """Keep a signed file."""
    session.add(MetadataDocumentRow(tenant=tenant, role=role, version=version, text=text, received_at=now))
    session.flush()


def keep_documents(session: Session, tenant: TenantId, role: str, *, newest: int) -> None:
    """Forget all but that many of the role's newest files."""
    versions = session.scalars(
        select(MetadataDocumentRow.version)
        .where(MetadataDocumentRow.tenant == tenant, MetadataDocumentRow.role == role)
        .order_by(MetadataDocumentRow.version.desc())
        .offset(newest)
    ).all()
    session.execute(
        delete(MetadataDocumentRow).where(
            MetadataDocumentRow.tenant == tenant,
            MetadataDocumentRow.role == role,
            MetadataDocumentRow.version.in_(versions),
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


def published_artifacts(session: Session, tenant: TenantId) -> Mapping[str, PublishedArtifact]:
    """Return each published artifact by its target path."""
    rows = session.execute(
        select(ArtifactRow, ReleaseRow.counter, ReleaseRow.revoked_at)
        .options(defer(ArtifactRow.header))
        .join(ReleaseRow, (ReleaseRow.tenant == ArtifactRow.tenant) & (ReleaseRow.id == ArtifactRow.release))
        .where(ArtifactRow.tenant == tenant)
    )
    return {
        target_path(*split_release_id(row.release), row.profile): PublishedArtifact(
            digest=row.digest,
            release=row.release,
            counter=counter,
            target=row.target,
            is_revoked=revoked_at is not None,
        )
        for row, counter, revoked_at in rows
    }


def artifact_length(session: Session, tenant: TenantId, digest: Digest) -> int | None:
    """Return the published artifact's length in bytes; None where it is not published."""
    row = session.get(ArtifactRow, (tenant, digest))
    return row.length if row else None


def newest_counters(session: Session, tenant: TenantId) -> Mapping[ModelName, int]:
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
    listed: Listed,
    *,
    header: bytes,
    targets_version: int,
    now: datetime,
) -> None:
    """Make the artifact a part of its release; the first one makes the release."""
    artifact, custom = listed.artifact, listed.artifact.custom
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
            target=dict(listed.target),
            listed_by=listed.role,
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
    barred = barred_releases(session, tenant)
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
            barred=barred.get(row.id, ""),
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


def add_published(session: Session, tenant: TenantId, device: DeviceId, index: Digest, *, length: int) -> None:
    """Count so many bytes of chunks as published; without a transfer of that index there is nothing to count on."""
    row = session.get(TransferRow, (tenant, device, index))
    if row is not None:
        row.published_bytes += length
        session.flush()


def _bitmap(places: int) -> bytes:
    return places.to_bytes((places.bit_length() + 7) // 8, "little")
