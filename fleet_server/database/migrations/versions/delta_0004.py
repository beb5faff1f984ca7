"""Deltas between artifacts.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-21
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Remember which deltas were made."""
    op.create_table(
        "delta",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("base", sa.String(), primary_key=True),
        sa.Column("target", sa.String(), primary_key=True),
        sa.Column("index_digest", sa.String(), nullable=False),
        sa.Column("length", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_delta_tenant_target", "delta", ["tenant", "target"])


def downgrade() -> None:
    """Take them away."""
    op.drop_table("delta")
