"""The device's own inference server: the Open Inference Protocol v2 on a loopback address.

It answers only programs on the device itself: whoever can open the port may ask, but for web pages from elsewhere. Any
other address is refused until there is a way to say who may. It writes nothing to disk and logs no request.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edge_agent.errors import AddressRefused
from edge_agent.inference.connection import Connection, Limits, Surroundings
from edge_agent.inference.endpoints import Endpoints
from edge_agent.inference.loopback import is_loopback

if TYPE_CHECKING:
    from edge_agent.config import ServingConfig
    from edge_agent.drift.sketcher import Sketcher
    from edge_agent.inference.meter import Meter
    from edge_agent.inference.swap import ServedModels

STOP_S = 5.0
"""How long requests under way may take to finish when the server stops."""
LOOKS_PER_HEAD = 10
"""How often a head's time is divided to look for connections whose time is over."""
LIMITS = Limits()


class InferenceServer:
    """Listens, and answers from the served models. ``start`` and ``stop`` are called on the event loop."""

    def __init__(
        self,
        models: ServedModels,
        sketcher: Sketcher,
        meter: Meter,
        config: ServingConfig,
        *,
        limits: Limits = LIMITS,
    ) -> None:
        self._config = config
        self._limits = limits
        self._endpoints = Endpoints(models, sketcher, meter)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._next_look: asyncio.TimerHandle | None = None

    async def start(self) -> tuple[str, int]:
        """Return the host and port that are being listened on (a free port where the configuration says 0).

        Raises:
            AddressRefused: not a loopback address, or it can't be bound.
        """
        host, port, limits = self._config.host, self._config.port, self._limits
        _check_loopback(host)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        around = Surroundings(
            endpoints=self._endpoints,
            pool=self._pool,
            max_body_bytes=self._config.max_body_bytes,
            limits=limits,
            open=self._connections,
        )
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(around), host, port, backlog=limits.connections)
        except OSError as error:
            raise AddressRefused(
                f"can't listen on {host} port {port}: {error.strerror}; set serving.port to a free one, or 0 for any"
            ) from error
        self._look()
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def stop(self) -> None:
        """Stop listening, let requests under way finish for ``STOP_S`` seconds, and close every connection."""
        if self._server is None or self._pool is None:
            return
        self._server.close()
        if self._next_look is not None:
            self._next_look.cancel()
        for connection in tuple(self._connections):
            connection.finish()
        if self._connections:
            await asyncio.wait([connection.closed for connection in self._connections], timeout=STOP_S)
        for connection in tuple(self._connections):
            connection.abort()
        self._pool.shutdown(wait=False)
        self._server = None

    def _look(self) -> None:
        """Close the connections whose time is over, now and again and again."""
        loop = asyncio.get_running_loop()
        for connection in tuple(self._connections):
            connection.expire(loop.time())
        self._next_look = loop.call_later(self._limits.head_s / LOOKS_PER_HEAD, self._look)


def _check_loopback(host: str) -> None:
    if not is_loopback(host):
        raise AddressRefused(
            f"serving.host {host!r} is not a loopback address, and whoever reaches the port may ask: use 127.0.0.1"
        )
