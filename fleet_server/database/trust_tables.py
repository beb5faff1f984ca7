"""The tables of trust: signed files, security floors, and what the director signed for each device."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contracts.ids import DeviceId, ModelName, TenantId
from contracts.metadata import MetadataName
from fleet_server.database.columns import Row


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
