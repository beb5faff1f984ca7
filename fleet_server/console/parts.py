"""What the console's routes share: made by ``stores.console_over`` for a server, by a fixture for a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from fleet_server.clock import Clock
from fleet_server.console.access import Failures, People
from fleet_server.console.acting import Acting
from fleet_server.console.live import Hub
from fleet_server.console.reading import Reading
from fleet_server.console.rendering import HERE, Pages, StaticFiles

CHECKS_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """One process's console for one tenant."""

    reading: Reading
    acting: Acting
    people: People
    clock: Clock
    hub: Hub
    pages: Pages
    static: StaticFiles
    failures: Failures = field(default_factory=Failures)
    checks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHECKS_AT_ONCE))
    """Places for a password's check, which takes 64 MiB."""
    check_patience_s: float = 2.0
    """How long a try waits for such a place."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    @classmethod
    def over(
        cls, reading: Reading, acting: Acting, *, people: People, clock: Clock, static: StaticFiles | None = None
    ) -> Console:
        """Return a console over these three; ``static`` is the built bundle unless said otherwise."""
        files = static or StaticFiles(HERE / "static")
        return cls(
            reading=reading,
            acting=acting,
            people=people,
            clock=clock,
            hub=Hub(reading.overview, clock),
            pages=Pages(files),
            static=files,
        )


def end_streams(app: Starlette) -> None:
    """End the app's live streams, so that its server stops at once; from the server's own event loop."""
    console: Console | None = getattr(app.state, "console", None)
    if console is not None:
        console.hub.end()


def console_of(connection: HTTPConnection) -> Console:
    """Return the console of the app that the request came to: the one put there, else one over its stores."""
    state = connection.app.state
    if getattr(state, "console", None) is None:
        from fleet_server.console.stores import console_over
        from fleet_server.wiring import wiring_of

        state.console = console_over(wiring_of(connection))
    return cast("Console", state.console)
