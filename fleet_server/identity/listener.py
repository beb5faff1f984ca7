"""The listener for devices: HTTPS of its own, in a thread of its own, that knows whose certificate it sees.

uvicorn does not hand the peer's certificate to the application, so a subclass of its protocol puts it into each
request's scope, in the form of ASGI's TLS extension. A slow client is hung up on: after ``HANDSHAKE_TIMEOUT_S`` without
TLS, ``HEAD_TIMEOUT_S`` without a request's head, ``REQUEST_TIMEOUT_S`` from there without the end of the answer. How
many clients there are, ``door`` bounds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fleet_server.identity.door import MOST_OF_ONE_ADDRESS, Door, room

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S = 10.0
HEAD_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 60.0
GRACE_S = 3
START_TIMEOUT_S = 20.0


@contextmanager
def serving_devices(
    app: FastAPI,
    listener: socket.socket,
    tls: ssl.SSLContext,
    *,
    most_of_one_address: int = MOST_OF_ONE_ADDRESS,
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> Iterator[None]:
    """Serve on the socket while the block runs."""
    import uvicorn

    most = room()
    door = Door(listener, most=most, most_of_one_address=min(most_of_one_address, max(1, most // 2)))
    config = uvicorn.Config(
        app,
        http=protocol(),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=16 * 1024,
        ssl_context_factory=lambda _config, _default: tls,
    )
    server = uvicorn.Server(config)

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: _Loop(handshake_timeout_s)) as runner:
            runner.run(server.serve([door]))

    thread = threading.Thread(target=serve, name="devices", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(START_TIMEOUT_S)
        door.close()


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's own loop (uvloop accepts connections past ``Door``), with the bound on a handshake."""

    def __init__(self, handshake_timeout_s: float) -> None:
        super().__init__()
        self._handshake_timeout_s = handshake_timeout_s

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """Listen; whoever has not ended the handshake in time is hung up on."""
        return await super().create_server(*args, ssl_handshake_timeout=self._handshake_timeout_s, **options)


def with_certificate(app: ASGIApp, certificate: bytes | None) -> ASGIApp:
    """Return the application, told in each request's scope which certificate (DER) the connection shows."""
    chain = [ssl.DER_cert_to_PEM_cert(certificate)] if certificate else []

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = {**scope.get("extensions", {}), "tls": {"client_cert_chain": chain}}
        await app({**scope, "extensions": extensions}, receive, send)

    return told


def protocol(
    *, head_timeout_s: float = HEAD_TIMEOUT_S, request_timeout_s: float = REQUEST_TIMEOUT_S
) -> type[H11Protocol]:
    """Return uvicorn's HTTP protocol, made to show certificates and to hang up on whoever is too slow."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class DeviceProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn's own
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            certificate = tls.getpeercert(binary_form=True) if tls else None
            self.app = self._timed(with_certificate(self.app, certificate))
            self._waiting = self.loop.call_later(head_timeout_s, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._waiting.cancel()
            super().connection_lost(exc)

        def _timed(self, app: ASGIApp) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
            async def timed(scope: Scope, receive: Receive, send: Send) -> None:
                self._waiting.cancel()
                try:
                    async with asyncio.timeout(request_timeout_s):
                        await app(scope, receive, send)
                except TimeoutError:
                    log.info("slow request ended", extra={"path": scope["path"][:200]})
                    self.transport.abort()
                self._waiting = self.loop.call_later(head_timeout_s, self.transport.abort)

            return timed

    return DeviceProtocol
