"""An answer has one deadline, however it is cut into pieces."""

from __future__ import annotations

import http.client
import io
import socket
from typing import TYPE_CHECKING

import pytest

from edge_agent.identity.deadline import bound_answers
from tests.fakes.clock import FakeClock

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _Drip(io.RawIOBase):
    """Gives a head without an end, one byte every ten seconds."""

    def __init__(self, clock: FakeClock, text: bytes) -> None:
        self._clock = clock
        self._text = io.BytesIO(text)
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._clock.pass_s(10.0)
        piece = self._text.read(1)
        memoryview(buffer)[: len(piece)] = piece
        self.given += 1
        return len(piece)


class _DrippingSocket(socket.socket):
    def __init__(self, drip: _Drip) -> None:
        super().__init__()
        self._drip = drip

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:  # type: ignore[override]  # for reading alone
        return io.BufferedReader(self._drip)


def _read(answer: http.client.HTTPResponse) -> bytes:
    answer.begin()
    return answer.read()


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 90,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000,
    ],
    ids=["head", "body"],
)
def test_an_answer_that_drips_ends_at_its_deadline(text: bytes) -> None:
    clock = FakeClock()
    drip = _Drip(clock, text)
    connection = http.client.HTTPConnection("127.0.0.1")
    bound_answers(connection, 600.0, clock.monotonic_s)

    with _DrippingSocket(drip) as sock, pytest.raises(TimeoutError, match="too long"):
        _read(connection.response_class(sock))

    assert drip.given == 60


def test_an_answer_in_time_is_read_and_the_wait_for_the_next_is_as_before() -> None:
    clock = FakeClock()
    connection = http.client.HTTPConnection("127.0.0.1")
    bound_answers(connection, 600.0, clock.monotonic_s)

    with _DrippingSocket(_Drip(clock, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as sock:
        sock.settimeout(15.0)
        answer = connection.response_class(sock)
        answer.begin()

        assert (answer.status, answer.read(), sock.gettimeout()) == (200, b"ok", 15.0)
