"""The first schema.

Revision ID: 0001
Revises:
Create Date: 2026-11-20
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_REAL = sa.Float(53)


def upgrade() -> None:
    """Make every table, each after those it refers to."""
    for make in _TABLES:
        make()


def downgrade() -> None:
    """Drop every table, in the other order."""
    for make in reversed(_TABLES):
        op.drop_table(make.__name__.removeprefix("_"))


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", _COUNT, primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("retain", sa.Boolean(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("sent_at", _MOMENT, nullable=True),
    )
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["id"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )


def _tenant() -> None:
    op.create_table(
        "tenant",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("created_at", _MOMENT, nullable=False),
    )


def _alert() -> None:
    op.create_table(
        "alert",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("release", sa.String(), nullable=True),
        sa.Column("rollout", sa.String(), nullable=True),
        sa.Column("moved", sa.JSON(), nullable=False),
        sa.Column("retrain", sa.String(), nullable=True),
        sa.Column("opened_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
    )
    op.create_index("ix_alert_tenant_state_opened_at", "alert", ["tenant", "state", "opened_at"])
    op.create_index("ix_alert_tenant_topic_state", "alert", ["tenant", "topic", "state"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _COUNT, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
    )
    op.create_index("ix_audit_tenant_at", "audit", ["tenant", "at"])


def _chunk_index() -> None:
    op.create_table(
        "chunk_index",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("chunks", _COUNT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
    )


def _device_group() -> None:
    op.create_table(
        "device_group",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("created_at", _MOMENT, nullable=False),
    )


def _metadata_document() -> None:
    op.create_table(
        "metadata_document",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("role", sa.String(), primary_key=True),
        sa.Column("version", _COUNT, primary_key=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
    )


def _release() -> None:
    op.create_table(
        "release",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("counter", _COUNT, nullable=False),
        sa.Column("targets_version", _COUNT, nullable=False),
        sa.Column("published_at", _MOMENT, nullable=False),
    )


def _retrain_request() -> None:
    op.create_table(
        "retrain_request",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )


def _rollout() -> None:
    op.create_table(
        "rollout",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("incompatible", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("finished_at", _MOMENT, nullable=True),
        sa.Column("version", _COUNT, nullable=False),
        sa.Column("next_tick_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_rollout_state_next_tick_at", "rollout", ["state", "next_tick_at"])


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.UniqueConstraint("tenant", "name"),
    )


def _api_token() -> None:
    op.create_table(
        "api_token",
        sa.Column("hash", sa.String(), primary_key=True),
        sa.Column("user_id", sa.String(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )


def _artifact() -> None:
    op.create_table(
        "artifact",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("length", _COUNT, nullable=False),
        sa.Column("index_digest", sa.String(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant", "release"], ["release.tenant", "release.id"]),
        sa.UniqueConstraint("tenant", "release", "profile"),
    )
    op.create_index("ix_artifact_tenant_index_digest", "artifact", ["tenant", "index_digest"])


def _device() -> None:
    op.create_table(
        "device",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("agent_version", sa.String(), nullable=False),
        sa.Column("enrolled_at", _MOMENT, nullable=False),
        sa.Column("last_seen_at", _MOMENT, nullable=True),
        sa.Column("boot", sa.String(), nullable=True),
        sa.Column("heard_at", _MOMENT, nullable=True),
        sa.Column("uptime_s", _REAL, nullable=False),
        sa.Column("memory_bytes", _COUNT, nullable=False),
        sa.Column("requests", _COUNT, nullable=False),
        sa.Column("errors", _COUNT, nullable=False),
        sa.Column("latency_p50_ms", _REAL, nullable=False),
        sa.Column("latency_p95_ms", _REAL, nullable=False),
        sa.Column("running", sa.JSON(), nullable=False),
        sa.Column("reported_generation", _COUNT, nullable=False),
        sa.Column("generation", _COUNT, nullable=False),
        sa.Column("offered_release", sa.String(), nullable=True),
        sa.Column("offered_rollout", sa.String(), nullable=True),
        sa.Column("offered_attempt", _COUNT, nullable=False),
        sa.Column("offered_max_bytes_s", _COUNT, nullable=False),
        sa.Column("offered_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["tenant", "group_name"], ["device_group.tenant", "device_group.name"]),
    )
    op.create_index("ix_device_tenant_group_name", "device", ["tenant", "group_name"])


def _enrollment_token() -> None:
    op.create_table(
        "enrollment_token",
        sa.Column("hash", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("uses_left", _COUNT, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "group_name"], ["device_group.tenant", "device_group.name"]),
    )


def _wave() -> None:
    op.create_table(
        "wave",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("rollout", sa.String(), primary_key=True),
        sa.Column("index", _COUNT, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=True),
        sa.Column("deadline_at", _MOMENT, nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant", "rollout"], ["rollout.tenant", "rollout.id"], ondelete="CASCADE"),
    )


def _web_session() -> None:
    op.create_table(
        "web_session",
        sa.Column("hash", sa.String(), primary_key=True),
        sa.Column("user_id", sa.String(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
    )


def _inbound() -> None:
    op.create_table(
        "inbound",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("boot", sa.String(), primary_key=True),
        sa.Column("contiguous", _COUNT, nullable=False),
        sa.Column("beyond", sa.JSON(), nullable=False),
        sa.Column("gap_since", _MOMENT, nullable=True),
        sa.Column("first_seen_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
    )


def _rollout_device() -> None:
    op.create_table(
        "rollout_device",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("rollout", sa.String(), primary_key=True),
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("wave", _COUNT, nullable=False),
        sa.Column("attempt", _COUNT, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("chunks_done", _COUNT, nullable=False),
        sa.Column("chunks_total", _COUNT, nullable=False),
        sa.Column("generation", _COUNT, nullable=False),
        sa.Column("previous_release", sa.String(), nullable=True),
        sa.Column("offered_at", _MOMENT, nullable=True),
        sa.Column("deadline_at", _MOMENT, nullable=True),
        sa.Column("healthy_at", _MOMENT, nullable=True),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant", "rollout"], ["rollout.tenant", "rollout.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_rollout_device_tenant_device", "rollout_device", ["tenant", "device"])
    op.create_index(
        "ix_rollout_device_tenant_rollout_wave_state", "rollout_device", ["tenant", "rollout", "wave", "state"]
    )


def _sketch() -> None:
    op.create_table(
        "sketch",
        sa.Column("id", _COUNT, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("examined_at", _MOMENT, nullable=True),
        sa.Column("rows", _COUNT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_sketch_tenant_device_release_ended_at", "sketch", ["tenant", "device", "release", "ended_at"])
    op.create_index("ix_sketch_tenant_release_received_at", "sketch", ["tenant", "release", "received_at"])
    op.create_index(
        "ix_sketch_unexamined",
        "sketch",
        ["id"],
        sqlite_where=sa.text("examined_at IS NULL"),
        postgresql_where=sa.text("examined_at IS NULL"),
    )


def _transfer() -> None:
    op.create_table(
        "transfer",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("index_digest", sa.String(), primary_key=True),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("chunks", _COUNT, nullable=False),
        sa.Column("requested", _COUNT, nullable=False),
        sa.Column("distinct_places", sa.LargeBinary(), nullable=False),
        sa.Column("verified_places", sa.LargeBinary(), nullable=False),
        sa.Column("repeated_verified", _COUNT, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
    )


_TABLES: tuple[Callable[[], None], ...] = (
    _outbox,
    _tenant,
    _alert,
    _audit,
    _chunk_index,
    _device_group,
    _metadata_document,
    _release,
    _retrain_request,
    _rollout,
    _users,
    _api_token,
    _artifact,
    _device,
    _enrollment_token,
    _wave,
    _web_session,
    _inbound,
    _rollout_device,
    _sketch,
    _transfer,
)
