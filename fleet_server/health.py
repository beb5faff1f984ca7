"""Whether the server can do its work: for probes and for people, no sign-in needed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fleet_server.database.session import check_answers
from fleet_server.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from fleet_server.broker.link import Publisher


class HealthWord(StrEnum):
    """How a part is."""

    OK = "ok"
    DEGRADED = "degraded"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the server and the two things it needs are."""

    status: HealthWord
    database: HealthWord
    broker: HealthWord


def check_health(engine: Engine, link: Publisher | None) -> Health:
    """Return how things are now."""
    database = _database(engine)
    broker = HealthWord.OK if link is not None and link.connected else HealthWord.UNREACHABLE
    both = database is HealthWord.OK and broker is HealthWord.OK
    return Health(status=HealthWord.OK if both else HealthWord.DEGRADED, database=database, broker=broker)


def _database(engine: Engine) -> HealthWord:
    try:
        check_answers(engine)
    except DatabaseUnreachable:
        return HealthWord.UNREACHABLE
    return HealthWord.OK
