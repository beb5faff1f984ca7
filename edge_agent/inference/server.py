"""The device's own inference server: the Open Inference Protocol v2 on a loopback address.

It answers only programs on the device itself: whoever can open the port may ask. Any other address is refused until
there is a way to say who may. It writes nothing to disk and logs no request.
"""

from __future__ import annotations

import asyncio
import ipaddress
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edge_agent.errors import AddressRefused
from edge_agent.inference.connection import MAX_CONNECTIONS, Connection, Surroundings
from edge_agent.inference.endpoints import Endpoints

if TYPE_CHECKING:
    from edge_agent.config import ServingConfig
    from edge_agent.drift.sketcher import Sketcher
    from edge_agent.inference.meter import Meter
    from edge_agent.inference.swap import ServedModels

STOP_S = 5.0
"""How long requests under way may take to finish when the server stops."""


class InferenceServer:
    """Listens, and answers from the served models. ``start`` and ``stop`` are called on the event loop."""

    def __init__(self, models: ServedModels, sketcher: Sketcher, meter: Meter, config: ServingConfig) -> None:
        self._config = config
        self._endpoints = Endpoints(models, sketcher, meter)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._pool: ThreadPoolExecutor | None = None

    async def start(self) -> tuple[str, int]:
        """Return the host and port that are being listened on (a free port where the configuration says 0).

        Raises:
            AddressRefused: not a loopback address, or it can't be bound.
        """
        host, port = self._config.host, self._config.port
        _check_loopback(host)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        around = Surroundings(
            endpoints=self._endpoints,
            pool=self._pool,
            max_body_bytes=self._config.max_body_bytes,
            open=self._connections,
        )
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(around), host, port, backlog=MAX_CONNECTIONS)
        except OSError as error:
            raise AddressRefused(
                f"can't listen on {host} port {port}: {error.strerror}; set serving.port to a free one, or 0 for any"
            ) from error
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def stop(self) -> None:
        """Stop listening, let requests under way finish for ``STOP_S`` seconds, and close every connection."""
        if self._server is None or self._pool is None:
            return
        self._server.close()
        for connection in tuple(self._connections):
            connection.finish()
        if self._connections:
            await asyncio.wait([connection.closed for connection in self._connections], timeout=STOP_S)
        for connection in tuple(self._connections):
            connection.abort()
        self._pool.shutdown(wait=False)
        self._server = None


def _check_loopback(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise AddressRefused(
            f"serving.host {host!r} is not a loopback address, and whoever reaches the port may ask: use 127.0.0.1"
        )
