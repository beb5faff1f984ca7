"""What the parts of one server process share: made once by ``app.create_app``, handed to every route.

A route asks for it as a dependency and opens its own transaction, so that the commit has happened
before the answer leaves:

    @router.get("/groups")
    def groups(wiring: Wiring = Depends(wiring_of), user: User = Depends(current_user)) -> ...:
        with reading(wiring.engine) as session: ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from contracts.metadata import RepositoryName
    from fleet_server.broker.link import BrokerLink
    from fleet_server.clock import Clock
    from fleet_server.config import ServerConfig
    from fleet_server.delivery.buckets import Buckets
    from fleet_server.delivery.cuts import Cuts
    from fleet_server.identity.authority import Authority
    from fleet_server.releases.vault import Vault
    from fleet_server.trust.keys import KeyRing


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """The shared parts; ``link`` is None where no broker is wired (tests of the API alone)."""

    config: ServerConfig
    engine: Engine
    clock: Clock
    vault: Vault
    cuts: Cuts
    buckets: Buckets
    rings: Mapping[RepositoryName, KeyRing]
    authority: Authority
    link: BrokerLink | None


def wiring_of(connection: HTTPConnection) -> Wiring:
    """Return the wiring of the app that the request came to."""
    return cast("Wiring", connection.app.state.wiring)
