"""Revocation, security floors and the director's files.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-21
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add what is new; what was published before is offered again once it is published again, unchanged."""
    op.create_table(
        "security_floor",
        sa.Column("tenant", sa.String(), sa.ForeignKey("tenant.id"), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("counter", _COUNT, nullable=False),
        sa.Column("raised_at", _MOMENT, nullable=False),
    )
    op.create_table(
        "director_file",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("role", sa.String(), primary_key=True),
        sa.Column("version", _COUNT, primary_key=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("signed_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
    )
    op.add_column("release", sa.Column("revoked_at", _MOMENT, nullable=True))
    with op.batch_alter_table("artifact") as artifact:
        artifact.add_column(sa.Column("target", sa.JSON(), nullable=False, server_default="{}"))
        artifact.add_column(sa.Column("listed_by", sa.String(), nullable=False, server_default="targets"))
        artifact.add_column(sa.Column("is_listed", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("artifact") as artifact:
        for column in ("target", "listed_by", "is_listed"):
            artifact.alter_column(column, server_default=None)


def downgrade() -> None:
    """Take it away again."""
    with op.batch_alter_table("artifact") as artifact:
        for column in ("is_listed", "listed_by", "target"):
            artifact.drop_column(column)
    op.drop_column("release", "revoked_at")
    op.drop_table("director_file")
    op.drop_table("security_floor")
