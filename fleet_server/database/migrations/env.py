"""Alembic's way in; driven from ``fleet_server.database.schema``, which hands over a connection."""

from __future__ import annotations

from alembic import context

from fleet_server.database.tables import TenantRow

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TenantRow.metadata,
    compare_type=True,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
