"""One client's HTTP/1.1 connection: bytes in, requests to the endpoints, responses out in the same order.

Quick requests are answered on the event loop, slow ones on the pool's thread; either way one at a time for each
connection, so pipelined answers keep their order. While a whole request waits for its turn nothing more is read from
its client, so neither a flood nor a client that does not read its answers fills the memory.

A loopback address keeps other machines out but not the web pages that a browser on the device shows: a request whose
``Host`` is not this device, or that changes something and comes from a foreign ``Origin``, is refused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from edge_agent.inference.endpoints import JSON, Endpoints, Request, Response, error_response
from edge_agent.inference.loopback import means_this_device

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import NoReturn

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
DRAIN_S = 1.0
"""How long a refused client may go on sending before it is cut off; meanwhile it can read why."""

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_SAFE_METHODS = (b"GET", b"HEAD", b"OPTIONS")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Refused(Exception):
    """The request is refused before it is whole; stops the parser and never leaves this module."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many clients there may be, how long each may be silent, and how long a request's head may take to come."""

    connections: int = 256
    idle_s: float = 60.0
    head_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What connections of one server share; ``open`` holds those that are."""

    endpoints: Endpoints
    pool: Executor
    max_body_bytes: int
    limits: Limits
    open: set[Connection]


class Connection(asyncio.Protocol):
    """Parses, queues and answers. Its callbacks run on the event loop; ``closed`` is done when it is over.

    ``seen_s`` is when something last happened on it, in the event loop's time.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request | Response] = deque()
        self._busy = self._blocked = self._paused = self._ending = self._draining = False
        self._in_head = False
        self._heads = self._head_bytes = 0
        self._body: list[bytes] = []
        self._json_bytes: int | None = None
        self._refusal: Response | None = None
        self._loop = asyncio.get_running_loop()
        self.seen_s = self._head_since_s = self._loop.time()
        self._begin()
        self.closed = self._loop.create_future()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read; where too many others are open the longest idle one makes room, or nobody does."""
        self._transport = cast("asyncio.Transport", transport)
        self._around.open.add(self)
        most = self._around.limits.connections
        if len(self._around.open) > most and not self._make_room():
            self._end_with(error_response(503, f"{most} connections are open and busy; close some"))
            self._advance()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget what was waiting; an answer being made is dropped when it is done."""
        self._ending = True
        self._waiting.clear()
        self._around.open.discard(self)
        self.closed.set_result(None)

    def eof_received(self) -> bool:
        """Answer what is there, then close: the client sends no more but may still read."""
        self._ending = True
        self._advance()
        return self._busy or bool(self._waiting)

    def pause_writing(self) -> None:
        """Stop answering: the client does not read."""
        self._blocked = True

    def resume_writing(self) -> None:
        """Answer on."""
        self._blocked = False
        self.seen_s = self._loop.time()
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Parse, and answer what is whole."""
        if self._draining:
            return
        head = self._heads if self._in_head else 0
        self.seen_s = self._loop.time()
        try:
            self._parser.feed_data(data)
            if self._in_head and head == self._heads:
                self._count_head(len(data))
        except httptools.HttpParserUpgrade:
            self._ending = True
        except httptools.HttpParserError:
            refusal = self._refusal or error_response(400, "this is not HTTP/1.1; send a well-formed request")
            self._end_with(refusal)
        except _Refused as refused:
            self._end_with(refused.response)
        self._advance()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._begin()
        self._in_head = True
        self._heads += 1
        self._head_bytes = 0
        self._head_since_s = self.seen_s

    def on_url(self, url: bytes) -> None:
        """Take in a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that mean something here."""
        self._headers += 1
        if self._headers > MAX_HEADERS:
            self._stop(431, f"more than {MAX_HEADERS} headers")
        name = name.lower()
        if name in (b"host", b"origin"):
            self._check_sender(name, value)
        elif name == b"inference-header-content-length":
            self._json_bytes = self._number(name, value)
        elif name == b"content-length":
            self._check_size(self._number(name, value))
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            self._stop(415, "send the body without content-encoding")
        elif name == b"expect" and value.lower() == b"100-continue":
            self._expects = True

    def on_headers_complete(self) -> None:
        """Tell a client that waits for it to go on."""
        self._in_head = False
        if self._expects and not (self._busy or self._waiting):
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Take in a part of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        self._check_size(self._body_bytes)

    def on_message_complete(self) -> None:
        """Queue the whole request."""
        self._waiting.append(
            Request(
                method=self._parser.get_method(),
                target=self._target,
                body=b"".join(self._body),
                json_bytes=self._json_bytes,
                keep_alive=self._parser.should_keep_alive(),
            )
        )
        self._begin()

    # What the server and other connections call.

    @property
    def is_idle(self) -> bool:
        """Whether it is open and no answer is being made."""
        return not (self._busy or self._transport.is_closing())

    def finish(self) -> None:
        """Close once the answers under way are out."""
        self._ending = True
        self._advance()

    def expire(self, now_s: float) -> None:
        """Close where the client has been silent for too long, or does not come to the end of a request's head."""
        limits = self._around.limits
        if self._busy:
            return
        if now_s - self.seen_s > limits.idle_s:
            (self._transport.abort if self._blocked else self._transport.close)()
        elif self._in_head and not (self._paused or self._draining) and now_s - self._head_since_s > limits.head_s:
            self._end_with(error_response(408, f"the request's head took longer than {limits.head_s:g} s"))
            self._advance()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def _make_room(self) -> bool:
        """Return whether another connection was idle, and the one that was for the longest time was closed."""
        others = self._around.open - {self}
        idle = [other for other in others if other.is_idle]
        if not idle:
            return False
        min(idle, key=lambda other: other.seen_s).abort()
        return True

    def _begin(self) -> None:
        self._target = b""
        self._body = []
        self._body_bytes = 0
        self._headers = 0
        self._json_bytes = None
        self._expects = False

    def _check_sender(self, header: bytes, value: bytes) -> None:
        if header == b"origin" and self._parser.get_method() in _SAFE_METHODS:
            return  # it changes nothing, and the browser gives the answer to no foreign page
        if not means_this_device(value):
            self._stop(403, f"this {header.decode()} is not this device; ask a loopback address, from no foreign page")

    def _number(self, name: bytes, value: bytes) -> int:
        if not (value.isdigit() and len(value) <= 18):
            self._stop(400, f"header {name.decode()} must be a number of bytes")
        return int(value)

    def _check_size(self, body_bytes: int) -> None:
        if body_bytes > self._around.max_body_bytes:
            self._stop(413, f"the body is over the limit of {self._around.max_body_bytes} bytes; send fewer rows")

    def _count_head(self, count: int) -> None:
        """Bound a head that goes on through several pieces; what is within one piece is bounded by its size."""
        self._head_bytes += count
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _Refused(error_response(431, f"the request's head is over the limit of {MAX_HEAD_BYTES} bytes"))

    def _stop(self, status: int, sentence: str) -> NoReturn:
        """Refuse from within a parser callback; the parser turns what is raised into its own error."""
        self._refusal = error_response(status, sentence)
        raise _Refused(self._refusal)

    def _end_with(self, refusal: Response) -> None:
        self._draining = True
        self._waiting.append(refusal)

    def _advance(self) -> None:
        """Answer what waits, as far as it goes; then read on, or close."""
        while self._waiting and not (self._busy or self._blocked):
            self._answer(self._waiting.popleft())
        self._set_reading(on=not self._waiting)
        if self._ending and not (self._busy or self._waiting) and not self._draining:
            self._transport.close()

    def _answer(self, item: Request | Response) -> None:
        endpoints = self._around.endpoints
        if isinstance(item, Response):
            self._write(item, keep_alive=False)
            self._drain()
        elif endpoints.is_quick(item):
            response, observation = endpoints.answer(item)
            self._reply(item, response)
            if observation is not None:
                endpoints.observe(observation)
        else:
            self._busy = True
            made = self._loop.run_in_executor(self._around.pool, _answer_beside, endpoints, item)
            made.add_done_callback(lambda future: self._answered(item, future.result()))

    def _answered(self, request: Request, response: Response) -> None:
        self._busy = False
        self.seen_s = self._loop.time()
        if not self._transport.is_closing():
            self._reply(request, response)
            self._advance()

    def _reply(self, request: Request, response: Response) -> None:
        last = self._ending and not self._waiting
        keep_alive = request.keep_alive and not last
        self._write(response, keep_alive=keep_alive)
        if not keep_alive:
            self._waiting.clear()
            self._transport.close()

    def _write(self, response: Response, *, keep_alive: bool) -> None:
        self._transport.write(_head(response, keep_alive=keep_alive) + response.body)

    def _drain(self) -> None:
        """Send no more, and read into nothing for a moment: closing at once would destroy the answer on its way."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(DRAIN_S, self._transport.abort)

    def _set_reading(self, *, on: bool) -> None:
        if self._transport.is_closing() or on is (not self._paused):
            return
        self._paused = not on
        if on:
            self._head_since_s = self._loop.time()  # what came of a head meanwhile was not read by us
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()


def _answer_beside(endpoints: Endpoints, request: Request) -> Response:
    """Answer and observe on the pool's thread: what is slow here would hold up the event loop."""
    response, observation = endpoints.answer(request)
    if observation is not None:
        endpoints.observe(observation)
    return response


def _head(response: Response, *, keep_alive: bool) -> bytes:
    length = len(response.body)
    if response.status == 200 and keep_alive and response.content_type is JSON:
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
    lines = [
        b"HTTP/1.1 %d %s" % (response.status, _REASONS[response.status]),
        b"Content-Type: " + response.content_type,
        b"Content-Length: %d" % length,
    ]
    if response.json_bytes:
        lines.append(b"Inference-Header-Content-Length: %d" % response.json_bytes)
    if response.allow:
        lines.append(b"Allow: " + response.allow)
    if not keep_alive:
        lines.append(b"Connection: close")
    return b"\r\n".join((*lines, b"", b""))
