"""What a server needs, looked at one by one: for ``edgeship server doctor``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.ids import DEFAULT_TENANT
from contracts.metadata import MetadataName
from fleet_server.broker.starting import settled_kind
from fleet_server.database.schema import check_schema, newest_revision
from fleet_server.database.session import open_database, reading
from fleet_server.errors import FleetServerError, TrustMissing
from fleet_server.releases.online_roles import load_online_key
from fleet_server.releases.store import newest_document

if TYPE_CHECKING:
    from fleet_server.config import ServerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


def check_up(config: ServerConfig) -> tuple[Finding, ...]:
    """Return what was found, in the order in which it matters."""
    return (
        _look("online key", lambda: load_online_key(config.data_dir).public.keyid[:16]),
        _look("database", lambda: _schema(config)),
        _look("trusted root", lambda: _trusted_root(config)),
        _look("broker", lambda: f"{settled_kind(config.broker.kind)} will be used"),
    )


def _look(what: str, find: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, ok=True, detail=find())
    except FleetServerError as error:
        return Finding(what=what, ok=False, detail=str(error))


def _schema(config: ServerConfig) -> str:
    engine = open_database(config.url)
    try:
        check_schema(engine)
    finally:
        engine.dispose()
    return f"schema {newest_revision()}"


def _trusted_root(config: ServerConfig) -> str:
    engine = open_database(config.url)
    try:
        with reading(engine) as session:
            root = newest_document(session, DEFAULT_TENANT, MetadataName.ROOT)
    finally:
        engine.dispose()
    if root is None:
        raise TrustMissing("none yet; run 'edgeship server trust --data DIR ROOT.json'")
    return f"version {root.version}"
