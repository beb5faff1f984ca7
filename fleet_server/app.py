"""The web application: wires configuration, database, vault and routes; nothing else.

Every answer of the API that is no success has one shape, ``{"error": {"code", "message"}}``, with the
status that ``errors.HTTP_STATUS`` names.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from contracts.errors import ContractError
from fleet_server.alerts import routes as alerts
from fleet_server.body_limit import BodyLimit
from fleet_server.clock import Clock, SystemClock
from fleet_server.console import pages
from fleet_server.database.session import open_database, reading
from fleet_server.delivery.buckets import Buckets
from fleet_server.delivery.cuts import Cuts
from fleet_server.devices import routes as devices
from fleet_server.drift import routes as drift
from fleet_server.errors import FleetServerError, http_status
from fleet_server.health import Health, HealthWord, check_health
from fleet_server.identity.authority import load_authority
from fleet_server.identity.folder import IdentityFolder
from fleet_server.overview import overview
from fleet_server.people.routes import CurrentUser
from fleet_server.readmodel import OverviewView
from fleet_server.releases import routes as releases
from fleet_server.releases.vault import Vault
from fleet_server.retrain import routes as retrain
from fleet_server.rollouts import routes as rollouts
from fleet_server.trust.keys import open_rings
from fleet_server.wiring import Wiring, wiring_of

if TYPE_CHECKING:
    from fleet_server.broker.link import BrokerLink
    from fleet_server.config import ServerConfig

log = logging.getLogger(__name__)

API = "/api/v1"
Shared = Annotated[Wiring, Depends(wiring_of)]
router = APIRouter()


def create_app(config: ServerConfig, *, clock: Clock | None = None, link: BrokerLink | None = None) -> FastAPI:
    """Return the application over the data that the configuration names.

    Raises:
        ConfigError: there is no server in the data folder.
        DatabaseUnreachable: the database URL cannot be used.
        DataDirUnusable: the vault's folders cannot be made.
    """
    vault = Vault(config.data_dir / "vault")
    vault.prepare()
    engine = open_database(config.url)
    app = FastAPI(title="edgeship fleet server", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.wiring = Wiring(
        config=config,
        engine=engine,
        clock=clock or SystemClock(),
        vault=vault,
        cuts=Cuts(engine),
        buckets=Buckets(config.delivery),
        rings=open_rings(config.data_dir),
        authority=load_authority(IdentityFolder.of(config.data_dir)),
        link=link,
    )
    for part in (router, devices.router, releases.router, rollouts.router, alerts.router, retrain.router, drift.router):
        app.include_router(part, prefix=API)
    app.add_api_route("/health", health)
    app.include_router(pages.router)
    app.add_middleware(BodyLimit)
    add_error_answers(app)
    return app


@router.get("/overview")
def get_overview(wiring: Shared, user: CurrentUser) -> OverviewView:
    """Show the four numbers, and what is behind them."""
    with reading(wiring.engine) as session:
        return overview(session, user.tenant, wiring.clock.now(), offline_after_s=wiring.config.offline_after_s)


@router.get("/openapi.json", include_in_schema=False)
def get_description(request: Request, _: CurrentUser) -> dict[str, object]:
    """Describe the API to those who may use it."""
    return cast("FastAPI", request.app).openapi()


def health(wiring: Shared, response: JSONResponse) -> Health:
    """Say whether database and broker answer; 503 where one does not."""
    found = check_health(wiring.engine, wiring.link)
    response.status_code = 200 if found.status is HealthWord.OK else 503
    return found


def add_error_answers(app: FastAPI) -> None:
    """Give every answer that is no success its one shape."""

    @app.exception_handler(FleetServerError)
    @app.exception_handler(ContractError)
    async def refused(request: Request, error: FleetServerError | ContractError) -> JSONResponse:
        status = http_status(error)
        log.info("request refused", extra={"path": request.url.path, "code": error.code, "status": status})
        return error_answer(status, error.code, str(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return error_answer(422, "malformed", f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        what = f"{request.method} {request.url.path[:200]}"
        return error_answer(error.status_code, f"http_{error.status_code}", f"{what}: {error.detail}")

    @app.exception_handler(Exception)
    async def fault(_: Request, __: Exception) -> JSONResponse:
        # the server logs the traceback; the caller learns nothing about our insides
        return error_answer(500, "internal", "the server made a mistake; its log says more")


def error_answer(status: int, code: str, message: str) -> JSONResponse:
    """Return the one shape of an answer that is no success."""
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)
