"""One request to a fleet server over HTTP(S): the bearer token, the body, the server's own sentence.

Redirects are not followed: they would carry the token to another address. Loopback addresses never
go through a proxy.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from contracts.codec import from_plain
from contracts.errors import DecodeError
from signing.errors import ServerConfusing, ServerRefused, ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A body that is sent piece by piece; ``length`` in bytes is known before."""

    pieces: Iterator[bytes]
    length: int
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConnection:
    """A server's address and the token to show it; holds no socket.

    ``timeout_s`` bounds each wait for the server, not the whole transfer.
    """

    url: str
    token: str = field(default="", repr=False)
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what is no address of a server.

        Raises:
            ServerUnreachable: not http:// or https:// with a host.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerUnreachable(f"server {self.url!r} is no address; write it as http://HOST:PORT")

    def get_json(self, path: str) -> object:
        """Return the JSON that the server answers to GET.

        Raises:
            ServerError: unreachable, refused, or no JSON.
        """
        return _json(self._send("GET", path, None, {}), path)

    def send_json(self, method: str, path: str, message: object) -> object:
        """Send plain maps, lists and scalars as JSON and return the JSON of the answer.

        Raises:
            ServerError: unreachable, refused, or no JSON.
        """
        body = json.dumps(message).encode()
        return _json(self._send(method, path, body, {"Content-Type": "application/json"}), path)

    def upload(self, path: str, upload: Upload) -> None:
        """PUT the pieces.

        Raises:
            ServerError: unreachable or refused.
        """
        headers = {"Content-Type": upload.content_type, "Content-Length": str(upload.length)}
        self._send("PUT", path, upload.pieces, headers)

    def _send(self, method: str, path: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str]) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked when the connection is made
            self.url.rstrip("/") + path, data=body, method=method, headers={"Accept": "application/json", **headers}
        )
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            with self._opener().open(request, timeout=self.timeout_s) as answer:
                data: bytes = answer.read(ANSWER_LIMIT_BYTES)
        except urllib.error.HTTPError as error:
            raise _refusal(error, method, path) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ServerUnreachable(
                f"no answer from {self.url} ({reason}); is the server running, and is the address right?"
            ) from error
        return data

    def _opener(self) -> urllib.request.OpenerDirector:
        direct = urlsplit(self.url).hostname in _LOOPBACK
        proxies = urllib.request.ProxyHandler({} if direct else None)
        return urllib.request.build_opener(proxies, _NoRedirect)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _RefusalAnswer:
    error: _Refusal


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - urllib's own signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follow nothing: the answer then counts as refused."""


def _refusal(error: urllib.error.HTTPError, method: str, path: str) -> ServerRefused:
    with error:
        body = error.read(ANSWER_LIMIT_BYTES)
    try:
        refusal = from_plain(_RefusalAnswer, json.loads(body)).error
    except (ValueError, DecodeError):
        moved = error.headers.get("Location")
        advice = f"it points to {moved}: give that address" if moved else "is this the address of a fleet server?"
        refusal = _Refusal(code=f"http_{error.code}", message=f"HTTP {error.code} to {method} {path}; {advice}")
    return ServerRefused(
        f"the server refused: {refusal.message}", status=error.code, reason=refusal.code, sentence=refusal.message
    )


def _json(data: bytes, path: str) -> object:
    try:
        plain: object = json.loads(data)
    except ValueError as error:
        raise ServerConfusing(f"the answer to {path} is no JSON; is this the address of a fleet server?") from error
    return plain
