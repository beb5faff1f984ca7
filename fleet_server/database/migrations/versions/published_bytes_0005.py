"""Bytes of chunks that were published for a device.

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-21
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Count them from now on; of earlier transfers nothing is known."""
    count = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("transfer", sa.Column("published_bytes", count, nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    """Take the count away."""
    op.drop_column("transfer", "published_bytes")
