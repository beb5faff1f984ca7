"""The web application behind the device listener: joining, staying, and what only devices may fetch.

Enrolling and renewing need no certificate; every route under ``/api/v1/device`` takes ``CurrentDevice``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI

from contracts.ids import DeviceId, TenantId
from fleet_server.app import API, add_error_answers
from fleet_server.body_limit import BodyLimit
from fleet_server.delivery import routes as chunks
from fleet_server.identity import routes as identity
from fleet_server.identity.current_device import CurrentDevice

if TYPE_CHECKING:
    from fleet_server.wiring import Wiring

router = APIRouter()


@dataclass(frozen=True, kw_only=True)
class OwnName:
    """Who the server takes the device for."""

    tenant: TenantId
    device: DeviceId


def create_device_app(wiring: Wiring) -> FastAPI:
    """Return the application, over the parts that the console's application made."""
    app = FastAPI(title="edgeship devices", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.wiring = wiring
    app.include_router(identity.router, prefix=API)
    app.include_router(router, prefix=f"{API}/device")
    app.include_router(chunks.router, prefix=f"{API}/device")
    app.add_middleware(BodyLimit, limit_bytes=16_000, own_limits=())
    add_error_answers(app)
    return app


@router.get("/name")
def get_name(device: CurrentDevice) -> OwnName:
    """Say who the certificate's owner is: for trying a certificate out."""
    return OwnName(tenant=device.tenant, device=device.device)
