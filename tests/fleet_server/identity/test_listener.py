"""The listener for devices over real TLS: whose certificate it sees, and how long it waits."""

from __future__ import annotations

import dataclasses
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization

from edge_agent.identity.tls import pinned_tls
from fleet_server.identity.certificates import keep_certificates, listener_tls
from fleet_server.identity.folder import IdentityFolder
from fleet_server.identity.listener import protocol, serving_devices
from tests.fakes.clock import FakeClock
from tests.fakes.identities import Registry
from tests.fleet_server.server import EnrolledDevice, SmallServer

pytestmark = pytest.mark.slow


class RealTime(FakeClock):
    """The machine's own clock: TLS asks no other."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def server(small_server: SmallServer) -> SmallServer:
    return dataclasses.replace(small_server, clock=RealTime())


@pytest.fixture
def port(server: SmallServer) -> Iterator[int]:
    folder = IdentityFolder.of(server.config.data_dir)
    keep_certificates(server.wiring.authority, folder, names=("127.0.0.1",), now=server.clock.now())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        with serving_devices(server.devices_app, listener, listener_tls(folder)):
            yield int(listener.getsockname()[1])


def _tls(server: SmallServer, device: EnrolledDevice | None, folder: Path) -> ssl.SSLContext:
    context = pinned_tls(server.wiring.authority.pem)
    if device is not None:
        private = device.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "device.pem").write_bytes(private + device.certificate.encode())
        context.load_cert_chain(folder / "device.pem")
    return context


def _get(port: int, tls: ssl.SSLContext, path: str) -> tuple[int, dict[str, object]]:
    deadline = time.monotonic() + 10
    while True:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        finally:
            connection.close()


def test_a_device_is_known_by_its_certificate(server: SmallServer, port: int, tmp_path: Path) -> None:
    device = server.enroll("pi-1")

    answer = _get(port, _tls(server, device, tmp_path), "/api/v1/device/name")

    assert answer == (200, {"tenant": "default", "device": "pi-1"})


def test_without_a_certificate_one_may_join_and_nothing_else(server: SmallServer, port: int, tmp_path: Path) -> None:
    tls = _tls(server, None, tmp_path)

    refused = _get(port, tls, "/api/v1/device/name")
    authority = _get(port, tls, "/api/v1/authority")

    assert (refused[0], authority[0]) == (403, 200)
    assert authority[1] == {"authority": server.wiring.authority.pem}


def test_a_certificate_of_another_authority_ends_the_connection(server: SmallServer, port: int, tmp_path: Path) -> None:
    _get(port, _tls(server, None, tmp_path), "/api/v1/authority")
    foreign = Registry.make(tmp_path / "foreign").papers("pi-1")
    tls = pinned_tls(server.wiring.authority.pem)
    tls.load_cert_chain(foreign.file)

    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        _get(port, tls, "/api/v1/device/name")


def test_what_operators_may_do_is_not_there(server: SmallServer, port: int, tmp_path: Path) -> None:
    assert _get(port, _tls(server, None, tmp_path), "/api/v1/devices")[0] == 404


def test_a_body_over_the_limit_is_refused(server: SmallServer) -> None:
    answer = server.devices_api.post("/api/v1/enroll", content=b"x" * 16_001)

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.fixture
def crowded_port(server: SmallServer) -> Iterator[int]:
    """A listener that takes three connections of one address and waits half a second for a handshake."""
    folder = IdentityFolder.of(server.config.data_dir)
    keep_certificates(server.wiring.authority, folder, names=("127.0.0.1",), now=server.clock.now())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        with serving_devices(
            server.devices_app, listener, listener_tls(folder), most_of_one_address=3, handshake_timeout_s=0.5
        ):
            yield int(listener.getsockname()[1])


def test_whoever_says_nothing_holds_few_connections_and_only_for_a_while(
    server: SmallServer, crowded_port: int, tmp_path: Path
) -> None:
    tls = _tls(server, None, tmp_path)
    with ExitStack() as stack:
        held = [stack.enter_context(_connect(crowded_port)) for _ in range(3)]

        fourth = stack.enter_context(_connect(crowded_port))
        began = time.monotonic()
        ends = [one.recv(1) for one in (fourth, *held)]

        assert ends == [b""] * 4
        assert time.monotonic() - began < 5
    assert _get(crowded_port, tls, "/api/v1/authority")[0] == 200


def _connect(port: int) -> socket.socket:
    """Return a connection as soon as somebody listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def hasty() -> Iterator[int]:
    """A listener without TLS that waits half a second for a head and for a request."""
    import asyncio
    import threading

    async def slow(scope: object, receive: object, send: object) -> None:
        await asyncio.sleep(30)

    config = uvicorn.Config(
        slow, http=protocol(head_timeout_s=0.5, request_timeout_s=0.5), log_config=None, lifespan="off", loop="asyncio"
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        yield int(listener.getsockname()[1])
        running.should_exit = True
        thread.join(10)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_whoever_is_too_slow_is_hung_up_on(hasty: int, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", hasty), timeout=10) as slow:
        slow.sendall(said)
        began = time.monotonic()

        with pytest.raises(ConnectionError):
            raise_at_end(slow)

        assert time.monotonic() - began < 5


def raise_at_end(connection: socket.socket) -> None:
    """Read until the other side ends; a clean end is an error, too."""
    while connection.recv(1024):
        pass
    raise ConnectionResetError
