"""Device certificates, revocation, sites.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-21
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Let devices have certificates, be revoked, and stand at a site."""
    op.add_column("device", sa.Column("site", sa.String(), nullable=True))
    op.add_column("device", sa.Column("revoked_at", _MOMENT, nullable=True))
    op.create_table(
        "device_certificate",
        sa.Column("serial", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=True),
        sa.Column("issued_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "device"], ["device.tenant", "device.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("nonce"),
    )
    op.create_index("ix_device_certificate_tenant_device", "device_certificate", ["tenant", "device"])


def downgrade() -> None:
    """Take all of it away."""
    op.drop_table("device_certificate")
    op.drop_column("device", "revoked_at")
    op.drop_column("device", "site")
