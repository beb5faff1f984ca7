"""A real inference server on a free loopback port, its event loop in a thread of its own, and a plain client."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import uvloop
from numpy.typing import NDArray

from edge_agent.clock import SystemClock
from edge_agent.config import ServingConfig
from edge_agent.drift.sketcher import Sketcher
from edge_agent.inference.connection import Limits
from edge_agent.inference.meter import Meter
from edge_agent.inference.server import LIMITS, InferenceServer
from edge_agent.inference.swap import ServedModels
from tests.builders import INPUT

TIMEOUT_S = 10.0


@dataclass(kw_only=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body as a JSON object."""
        parsed = json.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed

    @property
    def error(self) -> str:
        """The sentence that says what was wrong."""
        return str(self.json["error"])


@dataclass(kw_only=True)
class RunningServer:
    """The server and what it answers from."""

    port: int
    models: ServedModels = field(default_factory=ServedModels)
    sketcher: Sketcher
    meter: Meter
    clients: list[Client] = field(default_factory=list)

    def client(self) -> Client:
        """Return a client with a connection of its own, closed when the server ends."""
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def socket(self) -> socket.socket:
        """Return a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def get(self, path: str) -> Answer:
        """Return the answer to a GET."""
        return self.ask("GET", path)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to a POST."""
        return self.ask("POST", path, body, headers)

    def infer(self, rows: NDArray[np.float32], *, path: str = "/v2/models/digits/infer") -> Answer:
        """Return the answer to a JSON infer request for these rows."""
        return self.post(path, json.dumps(json_request(rows)).encode())

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to any request."""
        self._connection.request(method, path, body, dict(headers or {}))
        response = self._connection.getresponse()
        return Answer(status=response.status, headers=dict(response.headers), body=response.read())


def json_request(rows: NDArray[np.float32]) -> dict[str, object]:
    """Return the JSON of an infer request for the tiny model."""
    tensor = {"name": INPUT, "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    return {"inputs": [tensor]}


@contextmanager
def running_server(
    *,
    max_body_bytes: int = 1_000_000,
    limits: Limits = LIMITS,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> Iterator[RunningServer]:
    """Give a server that serves nothing yet, and stop it afterwards."""
    models, sketcher, meter = ServedModels(), Sketcher(SystemClock()), Meter()
    config = ServingConfig(port=0, max_body_bytes=max_body_bytes)
    server = InferenceServer(models, sketcher, meter, config, limits=limits)
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        _, port = asyncio.run_coroutine_threadsafe(server.start(), loop).result(TIMEOUT_S)
        running = RunningServer(port=port, models=models, sketcher=sketcher, meter=meter)
        yield running
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(TIMEOUT_S)
        for client in running.clients:
            client.close()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TIMEOUT_S)
        loop.close()
