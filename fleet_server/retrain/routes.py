"""Retrain requests over HTTP: what to retrain, and on what evidence."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from contracts.retrain import RetrainRequest
from fleet_server.database.session import reading
from fleet_server.people.routes import CurrentUser
from fleet_server.retrain import store
from fleet_server.wiring import Wiring, wiring_of

router = APIRouter(prefix="/retrain-requests", tags=["retrain"])
SharedWiring = Annotated[Wiring, Depends(wiring_of)]


@router.get("")
def list_retrain_requests(wiring: SharedWiring, user: CurrentUser) -> tuple[RetrainRequest, ...]:
    """Return the newest requests, newest first."""
    with reading(wiring.engine) as session:
        return store.list_retrain_requests(session, user.tenant)


@router.get("/{request}")
def get_retrain_request(request: str, wiring: SharedWiring, user: CurrentUser) -> RetrainRequest:
    """Return the request."""
    with reading(wiring.engine) as session:
        return store.get_retrain_request(session, user.tenant, request)
