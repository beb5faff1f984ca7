"""Certificates in the database: which were issued to whom, and whose count no more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from contracts.ids import DeviceId, TenantId
from fleet_server.database.tables import DeviceRow, OutboxRow
from fleet_server.database.trust_tables import DeviceCertificateRow
from fleet_server.devices.store import find_device
from fleet_server.errors import AlreadyExists, RenewalRefused, TooManyTries
from fleet_server.identity.authority import Revoked

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sqlalchemy.orm import Session

MOST_AN_HOUR = 12
_HOUR = timedelta(hours=1)


def record_certificate(
    session: Session, row: DeviceRow, certificate: Certificate, *, nonce: str | None, now: datetime
) -> None:
    """Write down that the device has it; forget the device's expired ones.

    Raises:
        RenewalRefused: the nonce brought a certificate before.
        TooManyTries: the device had a dozen within the hour.
    """
    own = (DeviceCertificateRow.tenant == row.tenant, DeviceCertificateRow.device == row.id)
    session.execute(delete(DeviceCertificateRow).where(*own, DeviceCertificateRow.expires_at < now))
    lately = session.scalar(
        select(func.count()).select_from(DeviceCertificateRow).where(*own, DeviceCertificateRow.issued_at > now - _HOUR)
    )
    if (lately or 0) >= MOST_AN_HOUR:
        raise TooManyTries(
            f"device {row.id!r} had {MOST_AN_HOUR} certificates within the hour; wait", retry_after_s=3600
        )
    session.add(
        DeviceCertificateRow(
            serial=f"{certificate.serial_number:x}",
            tenant=row.tenant,
            device=row.id,
            nonce=nonce,
            issued_at=now,
            expires_at=certificate.not_valid_after_utc,
        )
    )
    try:
        session.flush()
    except IntegrityError as error:
        raise RenewalRefused("the nonce was used before; ask for a new one") from error


def is_in_force(session: Session, tenant: TenantId, device: DeviceId, *, serial: int, now: datetime) -> bool:
    """Return whether that certificate was issued to the device, has not expired, and the device is not revoked."""
    found = session.execute(
        select(DeviceCertificateRow.expires_at, DeviceRow.revoked_at)
        .join(
            DeviceRow, (DeviceRow.tenant == DeviceCertificateRow.tenant) & (DeviceRow.id == DeviceCertificateRow.device)
        )
        .where(
            DeviceCertificateRow.serial == f"{serial:x}",
            DeviceCertificateRow.tenant == tenant,
            DeviceCertificateRow.device == device,
        )
    ).one_or_none()
    return found is not None and found.revoked_at is None and found.expires_at > now


def revoke_device(session: Session, tenant: TenantId, device: DeviceId, now: datetime) -> None:
    """Let the device's certificates, reports and requests count no more, for ever, and nothing wait for it.

    Raises:
        NotFound: no device of that name is enrolled.
        AlreadyExists: it is revoked already.
    """
    row = find_device(session, tenant, device)
    if row.revoked_at is not None:
        raise AlreadyExists(f"device {device!r} was revoked already, at {row.revoked_at:%Y-%m-%d %H:%M} UTC")
    row.revoked_at = now
    topics = OutboxRow.topic.startswith(f"es/{tenant}/d/{device}/", autoescape=True)
    session.execute(delete(OutboxRow).where(topics, OutboxRow.sent_at.is_(None)))
    session.flush()


def revoked_devices(session: Session) -> frozenset[tuple[TenantId, DeviceId]]:
    """Return every revoked device."""
    rows = session.execute(select(DeviceRow.tenant, DeviceRow.id).where(DeviceRow.revoked_at.is_not(None)))
    return frozenset((tenant, device) for tenant, device in rows)


def revoked_certificates(session: Session, now: datetime) -> tuple[tuple[TenantId, DeviceId, Revoked], ...]:
    """Return the certificates of revoked devices that have not expired, by serial number."""
    rows = session.execute(
        select(DeviceRow.tenant, DeviceRow.id, DeviceCertificateRow.serial, DeviceRow.revoked_at)
        .join(
            DeviceRow, (DeviceRow.tenant == DeviceCertificateRow.tenant) & (DeviceRow.id == DeviceCertificateRow.device)
        )
        .where(DeviceRow.revoked_at.is_not(None), DeviceCertificateRow.expires_at > now)
        .order_by(DeviceCertificateRow.serial)
    )
    return tuple((tenant, device, Revoked(serial=int(serial, 16), at=at)) for tenant, device, serial, at in rows if at)
