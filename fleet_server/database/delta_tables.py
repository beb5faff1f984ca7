"""The table of deltas between artifacts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from contracts.ids import Digest, TenantId
from fleet_server.database.columns import Row


class DeltaRow(Row):
    """What came of making the delta from one artifact to another: there is one that pays, or there is none.

    ``index_digest`` is that of the delta's own chunk index and ``length`` its bytes; empty and 0 where there is none.
    """

    __tablename__ = "delta"
    __table_args__ = (Index(None, "tenant", "target"),)
    tenant: Mapped[TenantId] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    base: Mapped[Digest] = mapped_column(primary_key=True)
    target: Mapped[Digest] = mapped_column(primary_key=True)
    index_digest: Mapped[str]
    length: Mapped[int]
    made_at: Mapped[datetime]
