"""The server over real sockets: paths, keep-alive, pipelining, limits, and swaps under load."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from threading import Event

import numpy as np
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.clock import SystemClock
from edge_agent.config import ServingConfig
from edge_agent.drift.sketcher import Sketcher
from edge_agent.errors import AddressRefused
from edge_agent.inference.connection import MAX_HEAD_BYTES, Limits
from edge_agent.inference.meter import Meter
from edge_agent.inference.server import InferenceServer
from edge_agent.inference.swap import ServedModels
from tests.builders import TinyModel
from tests.conformance.link_laws import wait_until
from tests.edge_agent.inference.artifacts import a_served_model
from tests.edge_agent.inference.running_server import RunningServer, json_request, running_server

TINY = TinyModel()
SLOW = TinyModel(slow_products=300)


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """Give a server that serves digits@1.0.0, on the agent's event loop and on Python's own."""
    with running_server(max_body_bytes=100_000, new_loop=request.param) as running:
        running.models.put(a_served_model(TINY))
        yield running


def head_of(body: bytes, *more: bytes, path: bytes = b"/v2/models/digits/infer") -> bytes:
    """Return a request's head."""
    lines = (b"POST %s HTTP/1.1" % path, b"Host: localhost", b"Content-Length: %d" % len(body), *more, b"", b"")
    return b"\r\n".join(lines)


def everything(connection: socket.socket) -> bytes:
    """Return all that the server sends until it closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def send_and_stop(connection: socket.socket, data: bytes) -> None:
    """Send all of it, then say that no more will come."""
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def a_request(rows: int = 1, *, seed: int = 0) -> bytes:
    """Return a whole infer request."""
    body = json.dumps(json_request(TINY.rows(rows, seed=seed))).encode()
    return head_of(body) + body


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v2", 200, "binary_tensor_data"),
        ("/v2/", 200, "edgeship"),
        ("/v2/health/live", 200, '"live":true'),
        ("/v2/health/ready", 200, '"ready":true'),
        ("/v2/models/digits", 200, '"shape":[-1,8]'),
        ("/v2/models/digits?verbose=1", 200, '"labels":["class-0"'),
        ("/v2/models/digits/versions/1.0.0", 200, '"versions":["1.0.0"]'),
        ("/v2/models/digits/ready", 200, '"ready":true'),
        ("/v2/models/digits/versions/1.0.0/ready", 200, '"ready":true'),
        ("/v2/models/digits/versions/9/ready", 404, "serves version 1.0.0, not '9'"),
        ("/v2/models/letters", 404, "no model 'letters' is served here; served now: digits"),
        ("/v2/models/digits/explain", 404, "no such path under the model"),
        ("/v2/models//ready", 404, "no model ''"),
        ("/v2/models/digits/versions", 404, "no such path under the model"),
        ("/v2/models/", 404, "no model ''"),
        ("/other", 404, "no such path"),
        ("/v2/models/digits/infer", 405, "POST only"),
        ("/metrics", 200, "edgeship_inference_refused_total 0"),
    ],
)
def test_each_path_answers(server: RunningServer, path: str, status: int, words: str) -> None:
    answer = server.client().get(path)

    assert answer.status == status
    assert words in answer.body.decode()


def test_a_wrong_method_says_which_is_right(server: RunningServer) -> None:
    answer = server.client().post("/v2/health/live", b"")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


def test_a_server_without_a_model_is_live_but_not_ready() -> None:
    with running_server() as running:
        live, ready = running.client().get("/v2/health/live"), running.client().get("/v2/health/ready")

    assert (live.status, ready.status) == (200, 503)


def test_a_connection_is_kept_for_the_next_request(server: RunningServer) -> None:
    with server.socket() as connection:
        connection.sendall(a_request(seed=1))
        first = connection.recv(65536)
        connection.sendall(a_request(seed=2))
        second = connection.recv(65536)

    assert first.startswith(b"HTTP/1.1 200 OK")
    assert second.startswith(b"HTTP/1.1 200 OK")
    assert first != second


def test_pipelined_requests_are_answered_in_order(server: RunningServer) -> None:
    server.models.put(a_served_model(SLOW, version="2"))

    with server.socket() as connection:
        health = b"GET /v2/health/live HTTP/1.1\r\n\r\n"
        last = b"GET /v2 HTTP/1.1\r\nConnection: close\r\n\r\n"
        connection.sendall(a_request() + health + a_request(2) + last)
        answers = everything(connection)

    places = [answers.index(words) for words in (b'"shape":[1,3]', b'"live"', b'"shape":[2,3]', b'"extensions"')]
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert places == sorted(places)


@pytest.mark.slow
def test_a_client_that_reads_late_gets_every_answer(server: RunningServer) -> None:
    asked = b"GET /v2/models/digits HTTP/1.1\r\n\r\n" * 20_000

    with server.socket() as connection, ThreadPoolExecutor(max_workers=1) as pool:
        sent = pool.submit(send_and_stop, connection, asked)
        time.sleep(0.1)
        answers = everything(connection)
        sent.result(timeout=10)

    assert answers.count(b"HTTP/1.1 200 OK") == 20_000


def test_an_offer_to_upgrade_the_protocol_is_answered_without_it(server: RunningServer) -> None:
    with server.socket() as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        answer = everything(connection)

    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_an_upgrade_offered_after_other_requests_costs_none_of_them_its_answer(server: RunningServer) -> None:
    with server.socket() as connection:
        connection.sendall(a_request() * 3 + b"GET /v2 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        answers = everything(connection)

    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert answers.count(b"Connection: close") == 1


def test_one_connection_too_many_takes_the_place_of_the_longest_idle_one() -> None:
    with running_server(limits=Limits(connections=3)) as server, ExitStack() as open_ones:
        held = [open_ones.enter_context(server.socket()) for _ in range(3)]
        time.sleep(0.05)  # uvloop's clock ticks in milliseconds
        held[0].sendall(b"GET /v2 HTTP/1.1\r\n\r\n")
        held[2].sendall(b"GET /v2 HTTP/1.1\r\n\r\n")
        assert held[0].recv(65536)
        assert held[2].recv(65536)

        answer = server.client().get("/v2/health/live")
        held[0].sendall(b"GET /v2 HTTP/1.1\r\n\r\n")

        assert answer.status == 200
        assert held[0].recv(65536).startswith(b"HTTP/1.1 200 OK")
        with suppress(ConnectionResetError):
            assert held[1].recv(65536) == b""


@pytest.mark.slow
def test_where_all_others_are_busy_one_connection_too_many_is_told_so() -> None:
    with running_server(limits=Limits(connections=1)) as server, server.socket() as busy:
        server.models.put(a_served_model(SLOW))
        busy.sendall(a_request(30))
        time.sleep(0.05)
        with server.socket() as another:
            answer = everything(another)

        assert busy.recv(65536).startswith(b"HTTP/1.1 200 OK")

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"1 connections are open and busy" in answer


def test_a_silent_client_is_let_go() -> None:
    with running_server(limits=Limits(idle_s=0.1, head_s=0.1)) as server, server.socket() as silent:
        silent.sendall(b"GET /v2 HTTP/1.1\r\n\r\n")
        answer = everything(silent)

    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_head_that_does_not_come_to_its_end_is_let_go() -> None:
    with running_server(limits=Limits(head_s=0.1)) as server, server.socket() as slow:
        slow.sendall(b"GET /v2 HT")
        answer = everything(slow)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"took longer than 0.1 s" in answer


@pytest.mark.slow
def test_a_client_is_not_let_go_while_its_answer_is_made() -> None:
    with running_server(limits=Limits(idle_s=0.01, head_s=0.01)) as server:
        server.models.put(a_served_model(SLOW))
        answer = server.client().infer(TINY.rows(30))

    assert answer.status == 200


@pytest.mark.parametrize("host", ["evil.example", "192.168.1.5:8000", "localhost.evil.example", "localhost@evil", ""])
def test_a_name_that_is_not_this_device_is_refused(server: RunningServer, host: str) -> None:
    answer = server.client().ask("GET", "/v2", headers={"Host": host})

    assert (answer.status, "this host is not this device" in answer.error) == (403, True)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "127.3.2.1:80", "[::1]:8000"])
def test_a_loopback_name_with_any_port_is_answered(server: RunningServer, host: str) -> None:
    assert server.client().ask("GET", "/v2", headers={"Host": host}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example"])
def test_a_foreign_page_may_not_send_inputs(server: RunningServer, origin: str) -> None:
    body = json.dumps(json_request(TINY.rows(1))).encode()
    headers = {"Origin": origin, "Content-Type": "text/plain"}

    answer = server.client().post("/v2/models/digits/infer", body, headers)

    assert (answer.status, "from no foreign page" in answer.error) == (403, True)
    assert server.meter.take().requests == 0


def test_a_page_of_this_device_may_send_inputs(server: RunningServer) -> None:
    body = json.dumps(json_request(TINY.rows(1))).encode()

    answer = server.client().post("/v2/models/digits/infer", body, {"Origin": "http://localhost:3000"})

    assert answer.status == 200


def test_a_request_in_single_bytes_is_answered(server: RunningServer) -> None:
    with server.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        [connection.send(bytes([byte])) for byte in a_request()]
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_chunked_body_is_taken(server: RunningServer) -> None:
    body = json.dumps(json_request(TINY.rows(1))).encode()
    chunks = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])

    with server.socket() as connection:
        connection.sendall(b"POST /v2/models/digits/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_stops_sending_still_gets_its_answer(server: RunningServer) -> None:
    server.models.put(a_served_model(SLOW, version="2"))

    with server.socket() as connection:
        connection.sendall(a_request())
        connection.shutdown(socket.SHUT_WR)
        answer = everything(connection)

    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_asks_before_sending_its_body_is_told_to_go_on(server: RunningServer) -> None:
    body = json.dumps(json_request(TINY.rows(1))).encode()

    with server.socket() as connection:
        connection.sendall(head_of(body, b"Expect: 100-continue"))
        told = connection.recv(65536)
        connection.sendall(body)
        answer = connection.recv(65536)

    assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (b"hello\r\n\r\n", 400, b"not HTTP/1.1"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, b"not HTTP/1.1"),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, b"not HTTP/1.1"),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: -3\r\n\r\n", 400, b"HTTP/1.1"),
        (b"GET /v2 HTTP/1.1\r\nInference-Header-Content-Length: many\r\n\r\n", 400, b"must be a number of bytes"),
        (b"POST /v2 HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 415, b"content-encoding"),
        (b"GET /v2 HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431, b"more than 100 headers"),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: 100001\r\n\r\n", 413, b"over the limit of 100000 bytes"),
        (b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n" + b"x" * 100_001, 413, b"over the limit"),
    ],
    ids=["text", "tls", "two lengths", "negative", "json length", "gzip", "headers", "length", "chunked"],
)
def test_what_is_refused_before_it_is_whole_is_answered_and_closed(
    server: RunningServer, sent: bytes, status: int, words: bytes
) -> None:
    with server.socket() as connection:
        connection.sendall(sent)
        answer = everything(connection)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in answer
    assert words in answer


def test_a_head_without_an_end_is_cut_off(server: RunningServer) -> None:
    with server.socket() as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nA: ")
        time.sleep(0.05)
        connection.sendall(b"a" * (MAX_HEAD_BYTES + 1))
        answer = everything(connection)

    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_body_over_the_limit_is_refused_while_the_client_still_sends(server: RunningServer) -> None:
    answer = server.client().post("/v2/models/digits/infer", b"x" * 5_000_000)

    assert answer.status == 413


def test_a_request_refused_after_others_leaves_their_answers_whole(server: RunningServer) -> None:
    with server.socket() as connection:
        connection.sendall(a_request() + b"garbage\r\n\r\n")
        answers = everything(connection)

    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 Bad Request" in answers


@pytest.mark.slow
def test_health_answers_while_a_slow_model_runs(server: RunningServer) -> None:
    server.models.put(a_served_model(SLOW, version="2"))
    client = server.client()

    with server.socket() as connection:
        connection.sendall(a_request(30))
        started = time.monotonic()
        live = client.get("/v2/health/live")
        live_s = time.monotonic() - started
        connection.recv(65536)
        whole_s = time.monotonic() - started

    assert live.status == 200
    assert live_s < whole_s / 2


def test_what_was_answered_is_metered_and_sketched(server: RunningServer) -> None:
    client = server.client()

    client.infer(TINY.rows(3))
    client.infer(TINY.rows(2))
    client.infer(TINY.rows(1) + 7)
    client.get("/v2")
    (sketch,) = server.sketcher.close_window()
    reading = server.meter.take()

    assert (reading.requests, reading.errors) == (2, 0)
    assert 0 < reading.latency_p50_ms <= reading.latency_p95_ms
    assert (sketch.release, sketch.rows, sketch.errors) == ("digits@1.0.0", 5, 0)
    assert sum(sketch.class_counts) == sum(sketch.confidence_counts) == 5
    assert sum(sketch.latency_counts) == 2
    assert "edgeship_inference_refused_total 1" in client.get("/metrics").body.decode()


def refusal(config: ServingConfig) -> str:
    """Return why a server with this configuration does not start."""
    server = InferenceServer(ServedModels(), Sketcher(SystemClock()), Meter(), config)
    with pytest.raises(AddressRefused) as refused:
        asyncio.run(server.start())
    return str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "device.local", "::", ""])
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    assert "not a loopback address" in refusal(ServingConfig(host=host, port=0))


def test_a_port_in_use_is_refused_with_what_to_set(server: RunningServer) -> None:
    assert "set serving.port to a free one" in refusal(ServingConfig(port=server.port))


@pytest.mark.slow
def test_a_server_that_stops_finishes_the_request_it_is_at() -> None:
    with ThreadPoolExecutor() as pool, running_server() as running:
        running.models.put(a_served_model(SLOW))
        client = running.client()
        client.get("/v2")
        asked = pool.submit(client.infer, TINY.rows(10))
        time.sleep(0.01)

    assert asked.result(timeout=10).status == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sent=st.binary(min_size=1, max_size=200))
def test_whatever_bytes_arrive_the_server_answers_the_next_client(server: RunningServer, sent: bytes) -> None:
    with server.socket() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        everything(connection)

    assert server.client().get("/v2/health/live").status == 200


def ask_until(stopped: Event, server: RunningServer, seed: int, seen: list[tuple[int, str, float]]) -> None:
    """Ask again and again; note status, version and the largest error against that version's own answers."""
    client = server.client()
    rows = TINY.rows(2, seed=seed)
    while not stopped.is_set():
        answer = client.infer(rows)
        version = str(answer.json["model_version"])
        given = np.array(answer.json["outputs"][0]["data"]).reshape(2, 3)  # type: ignore[index]  # checked by the status
        seen.append((answer.status, version, float(np.abs(given - version_model(version).answers(rows)).max())))


def _answered_by(version: str, seen: list[tuple[int, str, float]]) -> bool:
    return any(version == other for _, other, _ in seen[-50:])


def version_model(version: str) -> TinyModel:
    """Return the model of that version: each answers differently, every third is slow."""
    return TinyModel(seed=int(version), slow_products=300 if int(version) % 3 == 0 else 0)


@pytest.mark.slow
def test_twenty_swaps_under_load_lose_no_request_and_mix_no_answer() -> None:
    stopped, seen = Event(), list[tuple[int, str, float]]()
    with running_server() as server, ThreadPoolExecutor(max_workers=4) as pool:
        server.models.put(a_served_model(version_model("100"), version="100"))
        asking = [pool.submit(ask_until, stopped, server, seed, seen) for seed in range(4)]

        for version in map(str, range(101, 121)):
            server.models.put(a_served_model(version_model(version), version=version))
            wait_until(partial(_answered_by, version, seen))
        stopped.set()
        _ = [asked.result(timeout=30) for asked in asking]  # raises what one of them met

    assert {status for status, _, _ in seen} == {200}
    assert {version for _, version, _ in seen} >= {str(version) for version in range(101, 121)}
    assert max(error for _, _, error in seen) < 1e-5
    assert len(seen) > 60
