"""What the director signed for each device, in the database."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from contracts.ids import DeviceId, TenantId
from contracts.metadata import MetadataName
from fleet_server.database.tables import DeviceRow
from fleet_server.database.trust_tables import DirectorFileRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

KEPT_VERSIONS = 4
"""Versions that stay readable for a device in the middle of a refresh."""


def lock_device(session: Session, tenant: TenantId, device: DeviceId) -> DeviceRow | None:
    """Return the device's row, locked, so that one replica at a time signs for it; None where there is none."""
    return session.get(DeviceRow, (tenant, device), with_for_update=True)


def newest_file(session: Session, tenant: TenantId, device: DeviceId, role: MetadataName) -> DirectorFileRow | None:
    """Return the newest file of that role for the device."""
    return session.scalar(
        select(DirectorFileRow)
        .where(DirectorFileRow.tenant == tenant, DirectorFileRow.device == device, DirectorFileRow.role == role)
        .order_by(DirectorFileRow.version.desc())
        .limit(1)
    )


def find_file(
    session: Session, tenant: TenantId, device: DeviceId, role: MetadataName, *, version: int
) -> DirectorFileRow | None:
    """Return that version of the role's file for the device, if it is still kept; 0 is the newest."""
    if version == 0:
        return newest_file(session, tenant, device, role)
    return session.get(DirectorFileRow, (tenant, device, role, version))


def put_file(
    session: Session,
    tenant: TenantId,
    device: DeviceId,
    role: MetadataName,
    *,
    version: int,
    text: str,
    now: datetime,
) -> DirectorFileRow:
    """Keep a file that was signed for the device, and return it; all but a few of its older versions are forgotten."""
    key = (DirectorFileRow.tenant == tenant, DirectorFileRow.device == device, DirectorFileRow.role == role)
    versions = session.scalars(
        select(DirectorFileRow.version).where(*key).order_by(DirectorFileRow.version.desc()).offset(KEPT_VERSIONS - 1)
    ).all()
    if versions:
        session.execute(delete(DirectorFileRow).where(*key, DirectorFileRow.version.in_(versions)))
    row = DirectorFileRow(tenant=tenant, device=device, role=role, version=version, text=text, signed_at=now)
    session.add(row)
    session.flush()
    return row
