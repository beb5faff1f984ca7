"""Who gets a chunk: a device whose offered or running release contains it, and nobody else [wire-5.5]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from contracts.ids import DeviceId, Digest, TenantId
from fleet_server.database.tables import ArtifactRow, DeviceRow
from fleet_server.releases.deltas import delta_indexes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A device and the site that it stands at; where it named none, its group is its site."""

    tenant: TenantId
    site: str
    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one device may fetch, by the digests of chunk indexes: artifacts, and deltas to the one it was offered."""

    recipient: Recipient
    artifacts: Mapping[Digest, Digest]


def find_share(session: Session, tenant: TenantId, device: DeviceId) -> Share | None:
    """Return what the device may fetch; None where there is no such device."""
    row = session.get(DeviceRow, (tenant, device))
    if row is None:
        return None
    wanted = {row.offered_release, *row.running.values()} - {None}
    found = session.execute(
        select(ArtifactRow.index_digest, ArtifactRow.digest, ArtifactRow.release).where(
            ArtifactRow.tenant == tenant, ArtifactRow.profile == row.profile, ArtifactRow.release.in_(wanted)
        )
    ).all()
    offered = [artifact for _, artifact, release in found if release == row.offered_release]
    return Share(
        recipient=Recipient(tenant=tenant, site=row.site or row.group_name, device=device),
        artifacts={index: artifact for index, artifact, _ in found} | dict(delta_indexes(session, tenant, offered)),
    )
