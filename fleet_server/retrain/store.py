"""Retrain requests in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from contracts.codec import from_plain, to_plain
from contracts.ids import TenantId
from contracts.retrain import RetrainRequest
from fleet_server.database.tables import RetrainRequestRow
from fleet_server.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LIST_LIMIT = 500


def add_retrain_request(session: Session, tenant: TenantId, request: RetrainRequest) -> None:
    """Write the request down; a second time changes nothing."""
    if session.get(RetrainRequestRow, (tenant, request.id)) is None:
        body = to_plain(request)
        assert isinstance(body, dict)
        session.add(
            RetrainRequestRow(
                tenant=tenant, id=request.id, model=request.model, body=body, created_at=request.created_at
            )
        )
        session.flush()


def list_retrain_requests(session: Session, tenant: TenantId) -> tuple[RetrainRequest, ...]:
    """Return the newest requests, newest first."""
    rows = session.scalars(
        select(RetrainRequestRow)
        .where(RetrainRequestRow.tenant == tenant)
        .order_by(RetrainRequestRow.created_at.desc(), RetrainRequestRow.id)
        .limit(LIST_LIMIT)
    )
    return tuple(from_plain(RetrainRequest, row.body) for row in rows)


def get_retrain_request(session: Session, tenant: TenantId, request: str) -> RetrainRequest:
    """Return the request.

    Raises:
        NotFound: no request of that id.
    """
    row = session.get(RetrainRequestRow, (tenant, request))
    if row is None:
        raise NotFound("retrain request", request, "'edgeship fleet retrain ls' lists them")
    return from_plain(RetrainRequest, row.body)


def every_retrain_request(session: Session) -> tuple[tuple[TenantId, RetrainRequest], ...]:
    """Return the newest requests of every tenant."""
    rows = session.scalars(select(RetrainRequestRow).order_by(RetrainRequestRow.created_at.desc()).limit(LIST_LIMIT))
    return tuple((row.tenant, from_plain(RetrainRequest, row.body)) for row in rows)
