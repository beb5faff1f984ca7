"""The tables of trust: devices' certificates, signed files, security floors, what the director signed for a device."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contracts.ids import DeviceId, ModelName, TenantId
from contracts.metadata import MetadataName
from fleet_server.database.columns import Row


class DeviceCertificateRow(Row):
    """One certificate of a device that has not expired; ``serial`` in hexadecimal, ``nonce`` where it is a renewal."""

    __tablename__ = "device_certificate"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
        UniqueConstraint("nonce"),
        Index(None, "tenant", "device"),
    )
    serial: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[TenantId]
    device: Mapped[DeviceId]
    nonce: Mapped[str | None]
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class MetadataDocumentRow(Row):
    """One version of one TUF role's file, as it was signed.

    ``role`` is ``root``, ``targets``, ``snapshot`` or ``timestamp`` of the model repository, ``targets/TEAM`` for a
    team, or ``director/root``.
    """

    __tablename__ = "metadata_document"
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    received_at: Mapped[datetime]


class SecurityFloorRow(Row):
    """The lowest counter of a model that may still be offered: the highest floor ever signed for it."""

    __tablename__ = "security_floor"
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    model: Mapped[ModelName] = mapped_column(primary_key=True)
    counter: Mapped[int]
    raised_at: Mapped[datetime]


class DirectorFileRow(Row):
    """One version of what the director signed for one device."""

    __tablename__ = "director_file"
    __table_args__ = (ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),)
    tenant: Mapped[TenantId] = mapped_column(primary_key=True)
    device: Mapped[DeviceId] = mapped_column(primary_key=True)
    role: Mapped[MetadataName] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    signed_at: Mapped[datetime]
