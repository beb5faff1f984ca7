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
    from sqlalchemy import Engine

    from fleet_server.broker.link import BrokerLink
    from fleet_server.clock import Clock
    from fleet_server.config import ServerConfig
    from fleet_server.releases.online_roles import OnlineKey
    from fleet_server.releases.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """The shared parts; ``link`` is None where no broker is wired (tests of the API alone)."""

    config: ServerConfig
    engine: Engine
    clock: Clock
    vault: Vault
    online_key: OnlineKey
    link: BrokerLink | None


def wiring_of(connection: HTTPConnection) -> Wiring:
    """Return the wiring of the app that the request came to."""
    return cast("Wiring", connection.app.state.wiring)
