"""Sketches over HTTP: what devices saw lately."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from contracts.ids import parse_device_id, parse_release_id
from contracts.sketch import Sketch
from fleet_server.database.session import reading
from fleet_server.drift import store
from fleet_server.people.routes import CurrentUser
from fleet_server.wiring import Wiring, wiring_of

router = APIRouter(prefix="/sketches", tags=["drift"])
SharedWiring = Annotated[Wiring, Depends(wiring_of)]


@router.get("")
def list_sketches(wiring: SharedWiring, user: CurrentUser, device: str = "", release: str = "") -> tuple[Sketch, ...]:
    """Return the newest windows, newest first; only the device's and the release's, where they are named."""
    with reading(wiring.engine) as session:
        return store.recent_sketches(
            session,
            user.tenant,
            device=parse_device_id(device) if device else None,
            release=parse_release_id(release) if release else None,
        )
