"""Who gets a chunk: a device whose offered or running release contains it, and nobody else [wire-5.5]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from contracts.ids import DeviceId, Digest, TenantId
from fleet_server.database.tables import ArtifactRow, DeviceRow
from fleet_server.releases.deltas import delta_indexes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

# made once: building a statement costs several times what SQLite needs to answer it, and each request asks
_DEVICE = select(
    *(DeviceRow.__table__.c[name] for name in ("profile", "site", "group_name", "offered_release", "running"))
).where(DeviceRow.__table__.c.tenant == bindparam("tenant"), DeviceRow.__table__.c.id == bindparam("device"))
_ARTIFACTS = select(*(ArtifactRow.__table__.c[name] for name in ("index_digest", "digest", "release"))).where(
    ArtifactRow.__table__.c.tenant == bindparam("tenant"),
    ArtifactRow.__table__.c.profile == bindparam("profile"),
    ArtifactRow.__table__.c.release.in_(bindparam("releases", expanding=True)),
)


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
    row = session.execute(_DEVICE, {"tenant": tenant, "device": device}).one_or_none()
    if row is None:
        return None
    profile, site, group, offered, running = row
    wanted = {offered, *running.values()} - {None}
    found = session.execute(_ARTIFACTS, {"tenant": tenant, "profile": profile, "releases": sorted(wanted)}).all()
    offers = [artifact for _, artifact, release in found if release == offered]
    return Share(
        recipient=Recipient(tenant=tenant, site=site or group, device=device),
        artifacts={index: artifact for index, artifact, _ in found} | dict(delta_indexes(session, tenant, offers)),
    )
