"""The way round a silent or dripping broker: when it begins, when it ends."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Iterator

import pytest

from contracts.ids import digest_of
from edge_agent.clock import SystemClock
from edge_agent.delivery.chunk_line import DEADLINE_S, HttpsChunkLine
from edge_agent.delivery.detour import FIRST_REST_S, LEAST_BYTES, MINUTE_S, PROBE_S, SILENCES, Detour
from tests.fakes.clock import FakeClock


def _silent(detour: Detour, times: int) -> None:
    for _ in range(times):
        detour.silent()


def test_three_silences_begin_it_once() -> None:
    detour = Detour(started_s=0.0)

    _silent(detour, SILENCES - 1)
    early = detour.begins(now_s=10.0)
    _silent(detour, 1)

    assert (early, detour.begins(now_s=20.0), detour.begins(now_s=21.0), detour.is_on) == (False, True, False, True)


def test_a_minute_with_too_few_bytes_begins_it() -> None:
    detour = Detour(started_s=0.0)
    detour.arrived(LEAST_BYTES - 1, now_s=30.0)

    assert not detour.begins(now_s=MINUTE_S - 0.1)
    assert detour.begins(now_s=MINUTE_S)


def test_enough_bytes_each_minute_do_not() -> None:
    detour = Detour(started_s=0.0)
    detour.arrived(LEAST_BYTES, now_s=30.0)

    assert not detour.begins(now_s=MINUTE_S)


def test_a_minute_in_which_nothing_was_asked_for_does_not_count() -> None:
    detour = Detour(started_s=0.0)

    detour.waited(now_s=50.0)

    assert not detour.begins(now_s=MINUTE_S + 40.0)


def test_a_chunk_over_mqtt_ends_it() -> None:
    detour = Detour(started_s=0.0)
    _silent(detour, SILENCES)
    detour.begins(now_s=1.0)

    detour.arrived(1, now_s=2.0)

    assert (detour.is_on, detour.begins(now_s=3.0)) == (False, False)


def test_mqtt_is_tried_now_and_then_meanwhile() -> None:
    detour = Detour(started_s=0.0)
    _silent(detour, SILENCES)
    detour.begins(now_s=0.0)

    due = [detour.probe_due(now_s=now_s) for now_s in (1.0, PROBE_S, PROBE_S + 1.0, 2 * PROBE_S)]

    assert due == [False, True, False, True]


def test_where_the_other_way_gives_nothing_it_is_left_alone_for_longer_and_longer() -> None:
    detour = Detour(started_s=0.0)
    _silent(detour, SILENCES)
    detour.begins(now_s=0.0)

    detour.gave_nothing(now_s=0.0)
    _silent(detour, SILENCES)
    closed, again = detour.begins(now_s=FIRST_REST_S - 1.0), detour.begins(now_s=FIRST_REST_S)
    detour.gave_nothing(now_s=FIRST_REST_S)
    _silent(detour, SILENCES)

    assert (closed, again) == (False, True)
    assert not detour.begins(now_s=2.9 * FIRST_REST_S)
    assert detour.begins(now_s=3.0 * FIRST_REST_S)


class Server:
    """Answers each connection with bytes that the test chose."""

    def __init__(self, *answers: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answers = answers
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._listener.getsockname()[1], timeout=2.0)

    def close(self) -> None:
        self._listener.close()
        self._thread.join(2.0)

    def _run(self) -> None:
        for answer in self._answers:
            connection, _ = self._listener.accept()
            with connection:
                self.requests.append(connection.recv(4096))
                connection.sendall(answer)


def _answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    for server in made:
        server.close()


def test_a_chunk_comes_by_its_digest(servers: list[Server]) -> None:
    servers.append(Server(_answer(b"chunk")))

    data = HttpsChunkLine(servers[0].connect, SystemClock()).get(digest_of(b"chunk"), 5)

    assert data == b"chunk"
    assert servers[0].requests[0].startswith(b"GET /api/v1/device/chunks/" + digest_of(b"chunk").encode())


def test_a_connection_that_the_server_ended_is_made_anew(servers: list[Server]) -> None:
    servers.append(Server(_answer(b"one"), _answer(b"two")))
    line = HttpsChunkLine(servers[0].connect, SystemClock())

    assert [line.get(digest_of(b"1"), 3), line.get(digest_of(b"2"), 3)] == [b"one", b"two"]
    line.close()


def test_no_more_is_read_than_the_chunk_and_a_byte(servers: list[Server]) -> None:
    servers.append(Server(_answer(bytes(1_000_000))))

    data = HttpsChunkLine(servers[0].connect, SystemClock()).get(digest_of(b""), 1000)

    assert data == bytes(1001)


@pytest.mark.parametrize("answer", [_answer(b"{}", "404 Not Found"), b"nonsense\r\n\r\n", b""])
def test_what_is_no_chunk_is_nothing(answer: bytes, servers: list[Server]) -> None:
    servers.append(Server(answer))

    assert HttpsChunkLine(servers[0].connect, SystemClock()).get(digest_of(b""), 10) is None


def test_a_server_that_is_not_there_gives_nothing() -> None:
    line = HttpsChunkLine(lambda: http.client.HTTPConnection("127.0.0.1", 9, timeout=1.0), SystemClock())

    assert line.get(digest_of(b""), 10) is None


class _Drip(io.RawIOBase):
    """A body of which a byte comes every ten seconds."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.read_bytes = 0
        self.status = 200

    def read1(self, _length: int) -> bytes:
        self._clock.pass_s(10.0)
        self.read_bytes += 1
        return b"x"

    def isclosed(self) -> bool:
        return True


class _DrippingConnection(http.client.HTTPConnection):
    def __init__(self, drip: _Drip) -> None:
        super().__init__("127.0.0.1")
        self._drip = drip

    def request(self, *_: object, **__: object) -> None:
        return

    def getresponse(self) -> _Drip:  # type: ignore[override]  # a response as far as the line looks at it
        return self._drip


def test_a_server_that_drips_is_left_after_a_minute() -> None:
    clock = FakeClock()
    drip = _Drip(clock)

    data = HttpsChunkLine(lambda: _DrippingConnection(drip), clock).get(digest_of(b""), 65_536)

    assert data == b"x" * drip.read_bytes
    assert clock.monotonic_s() <= DEADLINE_S + 10.0
