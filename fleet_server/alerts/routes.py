"""Alerts over HTTP: look, and acknowledge."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from fleet_server.alerts import store
from fleet_server.database.session import reading, transaction
from fleet_server.people.routes import CurrentUser, Operator
from fleet_server.readmodel import AlertState, AlertView
from fleet_server.wiring import Wiring, wiring_of

router = APIRouter(prefix="/alerts", tags=["alerts"])
SharedWiring = Annotated[Wiring, Depends(wiring_of)]


@router.get("")
def list_alerts(wiring: SharedWiring, user: CurrentUser, state: AlertState | None = None) -> tuple[AlertView, ...]:
    """Return the newest alerts, newest first; only those in the state, where it is named."""
    with reading(wiring.engine) as session:
        return store.list_alerts(session, user.tenant, state=state)


@router.post("/{alert}/acknowledge")
def acknowledge_alert(alert: str, wiring: SharedWiring, user: Operator) -> AlertView:
    """Note that the person who asks has seen the alert."""
    with transaction(wiring.engine) as session:
        return store.acknowledge(session, user.tenant, alert, by=user.name, now=wiring.clock.now())
