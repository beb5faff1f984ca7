"""How Python's types become columns: moments in UTC, closed sets as words, ids as text.

``Row`` is the class that every table in ``tables.py`` builds on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase

from contracts.codec import Plain
from contracts.ids import (
    BootId,
    DeviceId,
    Digest,
    GroupName,
    ModelName,
    ProfileName,
    ReleaseId,
    RolloutId,
    TenantId,
)
from contracts.metadata import MetadataName
from contracts.update import UpdateState
from fleet_server.people.role import Role
from fleet_server.readmodel import AlertKind, AlertState
from fleet_server.rollouts.states import RolloutState, WaveState


class UtcTime(TypeDecorator[datetime]):
    """A moment: refused without a zone, stored in UTC, given back in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the moment in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: times are timezone-aware UTC")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the moment with its zone, which SQLite does not keep."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Word(TypeDecorator[StrEnum]):
    """A member of a closed set, stored as its word."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        """Remember which set it is."""
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the member's word; a word outside the set is refused."""
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the member."""
        return None if value is None else self.kind(value)


_COUNT = BigInteger().with_variant(Integer(), "sqlite")
_IDS = (BootId, DeviceId, Digest, GroupName, ModelName, ProfileName, ReleaseId, RolloutId, TenantId)
_WORDS = (AlertKind, AlertState, MetadataName, Role, RolloutState, UpdateState, WaveState)


class Row(DeclarativeBase):
    """What all tables share: how Python types become columns, and how constraints are named."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[Mapping[Any, Any]] = {
        **dict.fromkeys(_IDS, String),
        **{kind: Word(kind) for kind in _WORDS},
        bool: Boolean,
        bytes: LargeBinary,
        datetime: UtcTime,
        float: Float(53),
        int: _COUNT,
        str: String,
        Plain: JSON,
        dict[str, Plain]: JSON,
        dict[str, str]: JSON,
        list[Plain]: JSON,
        list[int]: JSON,
    }
