"""No request may send more than it should: bodies are bounded before anything reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fleet_server.errors import TooLarge

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT_BYTES = 1_000_000
_OWN_LIMITS = ("/api/v1/artifacts/", "/api/v1/indexes/", "/api/v1/metadata")
"""These routes stream and bound their bodies themselves, after they know who is asking."""


class BodyLimit:
    """ASGI middleware: refuses a body over 1 MB (or another limit), by its stated length or while it comes in."""

    def __init__(
        self, app: ASGIApp, *, limit_bytes: int = BODY_LIMIT_BYTES, own_limits: tuple[str, ...] = _OWN_LIMITS
    ) -> None:
        """Wrap the application."""
        self._app = app
        self._limit_bytes = limit_bytes
        self._own_limits = own_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body bounded."""
        if scope["type"] != "http" or scope["path"].startswith(self._own_limits):
            await self._app(scope, receive, send)
            return
        if _stated_length(scope) > self._limit_bytes:
            await _refuse(send, self._limit_bytes)
            return
        await self._app(scope, _bounded(receive, self._limit_bytes), send)


def _bounded(receive: Receive, limit_bytes: int) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit_bytes:
            raise TooLarge(f"the body is over the limit of {limit_bytes} bytes")
        return message

    return bounded


def _stated_length(scope: Scope) -> int:
    stated = dict(scope["headers"]).get(b"content-length", b"0")
    return int(stated) if stated.isdigit() else 0


async def _refuse(send: Send, limit_bytes: int) -> None:
    message = f"the body is over the limit of {limit_bytes} bytes"
    body = json.dumps({"error": {"code": TooLarge.code, "message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
