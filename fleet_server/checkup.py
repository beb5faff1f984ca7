"""What a server needs, looked at one by one: for ``edgeship server doctor``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from contracts.ids import DEFAULT_TENANT
from fleet_server.broker.starting import settled_kind
from fleet_server.database.schema import check_schema, newest_revision
from fleet_server.database.session import open_database, reading
from fleet_server.errors import FleetServerError
from fleet_server.releases.publishing import FIRST_STEP
from fleet_server.releases.trust_watch import signed_roles
from fleet_server.trust.expiry import describe
from fleet_server.trust.keys import KeyName, KeyRing

if TYPE_CHECKING:
    from fleet_server.config import ServerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


def check_up(config: ServerConfig, now: datetime) -> tuple[Finding, ...]:
    """Return what was found, in the order in which it matters."""
    return (
        *(_look(f"{name} key", partial(_key, config, name)) for name in KeyName),
        _look("database", lambda: _schema(config)),
        *_trust(config, now),
        _look("broker", lambda: f"{settled_kind(config.broker.kind)} will be used"),
    )


def _look(what: str, find: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, ok=True, detail=find())
    except FleetServerError as error:
        return Finding(what=what, ok=False, detail=str(error))


def _key(config: ServerConfig, name: KeyName) -> str:
    return KeyRing(config.data_dir, name).public.keyid[:16]


def _schema(config: ServerConfig) -> str:
    engine = open_database(config.url)
    try:
        check_schema(engine)
    finally:
        engine.dispose()
    return f"schema {newest_revision()}"


def _trust(config: ServerConfig, now: datetime) -> tuple[Finding, ...]:
    """Return what is trusted, and until when; a database that cannot be read is named by another finding."""
    try:
        engine = open_database(config.url)
        with reading(engine) as session:
            roles = {role.name: role for role in signed_roles(session, DEFAULT_TENANT)}
        engine.dispose()
    except (FleetServerError, SQLAlchemyError):
        return ()
    missing = tuple(
        Finding(what=name, ok=False, detail=f"none is trusted yet; {FIRST_STEP}")
        for name in ("models root", "director root")
        if name not in roles
    )
    found = (Finding(what=name, ok=role.expires_at > now, detail=describe(role, now)) for name, role in roles.items())
    return (*missing, *found)
