"""One HTTPS request and its answer, without redirects, proxies or the system's authorities."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from contracts.codec import Plain, from_plain, to_plain
from contracts.errors import DecodeError
from edge_agent.errors import AuthorityRefused, EnrollmentRefused, ServerUnreachable
from edge_agent.identity.deadline import bound_answers

if TYPE_CHECKING:
    from edge_agent.config import ServerConfig

TIMEOUT_S = 15.0
ANSWER_S = 60.0
"""From the request to the end of the answer, however it drips."""
ANSWER_LIMIT_BYTES = 64 * 1024
API = "/api/v1"
Answer = TypeVar("Answer")


def ask(
    server: ServerConfig,
    path: str,
    kind: type[Answer],
    *,
    tls: ssl.SSLContext,
    body: object = None,
    answer_s: float = ANSWER_S,
) -> Answer:
    """Return the server's answer, which may take ``answer_s`` in all: to a GET, or to a POST of the body.

    Raises:
        ServerUnreachable: no answer.
        AuthorityRefused: whoever answers has no certificate of the authority that the TLS trusts.
        EnrollmentRefused: the answer is no, or not a fleet server's.
    """
    url = f"{server.url.rstrip('/')}{API}{path}"
    sent = None if body is None else json.dumps(to_plain(body)).encode()
    status, data = _exchange(url, tls, sent, answer_s=answer_s)
    if status != http.client.OK:
        raise _refusal(url, status, data)
    try:
        return from_plain(kind, cast("Plain", json.loads(data)))
    except (ValueError, DecodeError) as error:
        raise EnrollmentRefused(
            f"{url} answered, but not as a fleet server does ({error}); check server.url", reason="odd_answer"
        ) from error


def _exchange(url: str, tls: ssl.SSLContext, body: bytes | None, *, answer_s: float) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=tls)
    bound_answers(connection, answer_s, time.monotonic)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request("GET" if body is None else "POST", parts.path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_LIMIT_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise AuthorityRefused(
            f"{url} has no certificate of this device's authority for that name ({error.verify_message}); check "
            "server.url, and [identity] names in the server's server.toml"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise ServerUnreachable(
            f"no answer from {url}: {error or type(error).__name__}; check server.url and that the fleet server runs"
        ) from None
    finally:
        connection.close()


def _refusal(url: str, status: int, body: bytes) -> EnrollmentRefused:
    try:
        told = json.loads(body)["error"]
        reason, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return EnrollmentRefused(f"{url} answered {status}; check server.url", reason=f"http_{status}")
    return EnrollmentRefused(f"the server refused this device: {message}", reason=reason)
