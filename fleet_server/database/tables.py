"""Every table of the server, in story order; the one place that names a column.

Rows are typed (SQLAlchemy's declarative form) and named ``...Row``, so that ``Device`` stays the
word of the domain. Everything carries its tenant. Times go in and come out timezone-aware, UTC, on
SQLite too; closed sets are their StrEnum; ids keep their NewType (``columns.py``). Columns called
``body`` hold what ``contracts.codec.encode`` makes; JSON columns hold ``to_plain``.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

import fleet_server.database.delta_tables
import fleet_server.database.trust_tables  # noqa: F401 - its tables are part of the schema
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
from contracts.update import UpdateState
from fleet_server.database.columns import Row
from fleet_server.people.role import Role
from fleet_server.readmodel import AlertKind, AlertState
from fleet_server.rollouts.states import RolloutState, WaveState


class TenantRow(Row):
    """One customer of the server; everything else belongs to one."""

    __tablename__ = "tenant"
    id: Mapped[TenantId] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class UserRow(Row):
    """A person; ``password_hash`` is argon2id."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("tenant", "name"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[Role]
    created_at: Mapped[datetime]


class ApiTokenRow(Row):
    """A bearer token, by its SHA-256."""

    __tablename__ = "api_token"
    hash: Mapped[Digest] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    label: Mapped[str]
    created_at: Mapped[datetime]


class WebSessionRow(Row):
    """A signed-in browser, by its cookie's SHA-256."""

    __tablename__ = "web_session"
    hash: Mapped[Digest] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class DeviceGroupRow(Row):
    """A named set of devices."""

    __tablename__ = "device_group"
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    name: Mapped[GroupName] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class EnrollmentTokenRow(Row):
    """The right to enroll ``uses_left`` more devices into a group, by the token's SHA-256."""

    __tablename__ = "enrollment_token"
    __table_args__ = (ForeignKeyConstraint(["tenant", "group_name"], ["device_group.tenant", "device_group.name"]),)
    hash: Mapped[Digest] = mapped_column(primary_key=True)
    tenant: Mapped[TenantId]
    group_name: Mapped[GroupName]
    uses_left: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class DeviceRow(Row):
    """One device: who it is, what it last said, what it was last offered.

    ``public_key`` is 64 hexadecimal characters (raw ed25519). ``generation`` and the ``offered_*``
    columns are the server's wish; ``running`` (model name to release id) and
    ``reported_generation`` are the device's own word. Where ``site`` is None, the group stands in. ``heard_at`` is
    when its newest report was made, by its own clock, and never later than ours.
    """

    __tablename__ = "device"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "group_name"], ["device_group.tenant", "device_group.name"]),
        Index(None, "tenant", "group_name"),
    )
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    id: Mapped[DeviceId] = mapped_column(primary_key=True)
    group_name: Mapped[GroupName]
    profile: Mapped[ProfileName]
    public_key: Mapped[str]
    site: Mapped[str | None]
    agent_version: Mapped[str]
    enrolled_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    boot: Mapped[BootId | None]
    heard_at: Mapped[datetime | None]
    uptime_s: Mapped[float] = mapped_column(default=0.0)
    memory_bytes: Mapped[int] = mapped_column(default=0)
    requests: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    latency_p50_ms: Mapped[float] = mapped_column(default=0.0)
    latency_p95_ms: Mapped[float] = mapped_column(default=0.0)
    running: Mapped[dict[str, str]] = mapped_column(default=dict)
    reported_generation: Mapped[int] = mapped_column(default=0)
    generation: Mapped[int] = mapped_column(default=0)
    offered_release: Mapped[ReleaseId | None]
    offered_rollout: Mapped[RolloutId | None]
    offered_attempt: Mapped[int] = mapped_column(default=0)
    offered_max_bytes_s: Mapped[int] = mapped_column(default=0)
    offered_at: Mapped[datetime | None]


class InboundRow(Row):
    """How far one boot of one device has been heard: what makes a report count once.

    Every sequence up to ``contiguous`` is in the database, and so are those in ``beyond``; between
    them there is a gap since ``gap_since``, which the device fills by sending again.
    """

    __tablename__ = "inbound"
    __table_args__ = (ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),)
    tenant: Mapped[TenantId] = mapped_column(primary_key=True)
    device: Mapped[DeviceId] = mapped_column(primary_key=True)
    boot: Mapped[BootId] = mapped_column(primary_key=True)
    contiguous: Mapped[int] = mapped_column(default=0)
    beyond: Mapped[list[int]] = mapped_column(default=list)
    gap_since: Mapped[datetime | None]
    first_seen_at: Mapped[datetime]


class OutboxRow(Row):
    """A message to a device, written with the change it tells of, published afterwards in order."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_unsent", "id", sqlite_where=text("sent_at IS NULL"), postgresql_where=text("sent_at IS NULL")),
    )
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    topic: Mapped[str]
    body: Mapped[bytes]
    retain: Mapped[bool]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class ChunkIndexRow(Row):
    """An uploaded chunk index; it counts only once signed metadata name it."""

    __tablename__ = "chunk_index"
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    digest: Mapped[Digest] = mapped_column(primary_key=True)
    artifact: Mapped[Digest]
    chunks: Mapped[int]
    body: Mapped[bytes]
    received_at: Mapped[datetime]


class ReleaseRow(Row):
    """One published release; one with ``revoked_at`` was taken out of the signed listing, for good."""

    __tablename__ = "release"
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    id: Mapped[ReleaseId] = mapped_column(primary_key=True)
    model: Mapped[ModelName]
    counter: Mapped[int]
    targets_version: Mapped[int]
    published_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ArtifactRow(Row):
    """One artifact of a release: ``header`` is the CBOR of ``contracts.artifact.ArtifactHeader``.

    ``target`` is the TUF target as ``listed_by`` (``targets`` or a team) signed it last; ``is_listed`` says whether
    signed metadata that count still list it.
    """

    __tablename__ = "artifact"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "release"], ["release.tenant", "release.id"]),
        UniqueConstraint("tenant", "release", "profile"),
        Index(None, "tenant", "index_digest"),
    )
    tenant: Mapped[TenantId] = mapped_column(primary_key=True)
    digest: Mapped[Digest] = mapped_column(primary_key=True)
    release: Mapped[ReleaseId]
    profile: Mapped[ProfileName]
    length: Mapped[int]
    index_digest: Mapped[Digest]
    header: Mapped[bytes]
    target: Mapped[dict[str, Plain]] = mapped_column(default=dict)
    listed_by: Mapped[str] = mapped_column(default="targets")
    is_listed: Mapped[bool] = mapped_column(default=True)


class TransferRow(Row):
    """Counters of one artifact's way to one device; the server keeps no other transfer state.

    ``distinct_places`` and ``verified_places`` are bitmaps (place i: byte i // 8, least significant
    bit first) of the chunks ever asked for, and of those the device has said it holds.
    """

    __tablename__ = "transfer"
    __table_args__ = (ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),)
    tenant: Mapped[TenantId] = mapped_column(primary_key=True)
    device: Mapped[DeviceId] = mapped_column(primary_key=True)
    index_digest: Mapped[Digest] = mapped_column(primary_key=True)
    artifact: Mapped[Digest]
    chunks: Mapped[int]
    requested: Mapped[int] = mapped_column(default=0)
    distinct_places: Mapped[bytes] = mapped_column(default=b"")
    verified_places: Mapped[bytes] = mapped_column(default=b"")
    repeated_verified: Mapped[int] = mapped_column(default=0)
    published_bytes: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    started_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class RolloutRow(Row):
    """One rollout: ``spec`` is the RolloutSpec as JSON; ``version`` guards against two conductors."""

    __tablename__ = "rollout"
    __table_args__ = (Index(None, "state", "next_tick_at"),)
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    id: Mapped[RolloutId] = mapped_column(primary_key=True)
    spec: Mapped[dict[str, Plain]]
    release: Mapped[ReleaseId]
    group_name: Mapped[GroupName]
    state: Mapped[RolloutState]
    reason: Mapped[str] = mapped_column(default="")
    incompatible: Mapped[list[Plain]] = mapped_column(default=list)
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    next_tick_at: Mapped[datetime]


class WaveRow(Row):
    """One wave of a rollout."""

    __tablename__ = "wave"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "rollout"], ["rollout.tenant", "rollout.id"], ondelete="CASCADE"),
    )
    tenant: Mapped[TenantId] = mapped_column(primary_key=True)
    rollout: Mapped[RolloutId] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[WaveState]
    opened_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    verdict: Mapped[str] = mapped_column(default="")


class RolloutDeviceRow(Row):
    """One device's part in a rollout; ``previous_release`` is what it ran before (none: nothing)."""

    __tablename__ = "rollout_device"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "rollout"], ["rollout.tenant", "rollout.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
        Index(None, "tenant", "device"),
        Index(None, "tenant", "rollout", "wave", "state"),
    )
    tenant: Mapped[TenantId] = mapped_column(primary_key=True)
    rollout: Mapped[RolloutId] = mapped_column(primary_key=True)
    device: Mapped[DeviceId] = mapped_column(primary_key=True)
    wave: Mapped[int]
    attempt: Mapped[int] = mapped_column(default=0)
    state: Mapped[UpdateState]
    code: Mapped[str] = mapped_column(default="")
    detail: Mapped[str] = mapped_column(default="")
    chunks_done: Mapped[int] = mapped_column(default=0)
    chunks_total: Mapped[int] = mapped_column(default=0)
    generation: Mapped[int] = mapped_column(default=0)
    previous_release: Mapped[ReleaseId | None]
    offered_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    healthy_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class SketchRow(Row):
    """One window of one device, as it was signed: ``body`` is the encoded Sketch.

    ``examined_at`` is when the drift watch looked at it; it is the watch's only memory.
    """

    __tablename__ = "sketch"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
        Index(None, "tenant", "device", "release", "ended_at"),
        Index(None, "tenant", "release", "received_at"),
        Index(
            "ix_sketch_unexamined",
            "id",
            sqlite_where=text("examined_at IS NULL"),
            postgresql_where=text("examined_at IS NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    tenant: Mapped[TenantId]
    device: Mapped[DeviceId]
    release: Mapped[ReleaseId]
    plan: Mapped[Digest]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    received_at: Mapped[datetime]
    examined_at: Mapped[datetime | None]
    rows: Mapped[int]
    body: Mapped[bytes]


class AlertRow(Row):
    """One alert; ``topic`` says what it is about, so that the same trouble opens one alert, not many."""

    __tablename__ = "alert"
    __table_args__ = (Index(None, "tenant", "state", "opened_at"), Index(None, "tenant", "topic", "state"))
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    topic: Mapped[str]
    kind: Mapped[AlertKind]
    state: Mapped[AlertState]
    title: Mapped[str]
    detail: Mapped[str]
    device: Mapped[DeviceId | None]
    release: Mapped[ReleaseId | None]
    rollout: Mapped[RolloutId | None]
    moved: Mapped[list[Plain]] = mapped_column(default=list)
    retrain: Mapped[str | None]
    opened_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    acknowledged_by: Mapped[str | None]


class RetrainRequestRow(Row):
    """One retrain request: ``body`` is ``contracts.retrain.RetrainRequest`` as JSON."""

    __tablename__ = "retrain_request"
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[ModelName]
    body: Mapped[dict[str, Plain]]
    created_at: Mapped[datetime]


class AuditRow(Row):
    """What somebody did; never a secret."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "tenant", "at"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"))
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    object: Mapped[str]
    detail: Mapped[str] = mapped_column(default="")
