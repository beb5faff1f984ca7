"""The device's key, and joining a fleet over real HTTP on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts.ids import parse_device_id, parse_profile_name
from edge_agent.config import AgentConfig, ServerConfig
from edge_agent.disk import SystemDisk
from edge_agent.errors import (
    AlreadyEnrolled,
    EnrollmentRefused,
    KeyExposed,
    NotEnrolled,
    ServerUnreachable,
    StateError,
)
from edge_agent.identity import device_key, enroll, load_enrollment
from tests.fakes.disk import FullDisk

TOKEN = "one-time-secret-4711"
GOOD = {
    "tenant": "default",
    "device": "pi-1",
    "group": "line-3",
    "broker_host": "127.0.0.1",
    "broker_port": 1883,
}


class _Server(HTTPServer):
    """Answers every POST with what the test says, and keeps what it was sent."""

    status = 200
    answer: object = GOOD
    asked: dict[str, str]
    path = ""


class _Answering(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self.server.path = self.path
        self.server.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _config(state: Path, port: int) -> AgentConfig:
    return AgentConfig(
        device=parse_device_id("pi-1"),
        profile=parse_profile_name("raspberry-pi-4"),
        state_dir=state,
        trust_root=state / "root.json",
        server=ServerConfig(url=f"http://127.0.0.1:{port}/"),
    )


def test_the_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    first = device_key(tmp_path / "state").public_hex

    assert device_key(tmp_path / "state").public_hex == first
    assert (tmp_path / "state" / "device.key").stat().st_mode & 0o777 == 0o600


def test_two_devices_have_two_keys(tmp_path: Path) -> None:
    assert device_key(tmp_path / "a").public_hex != device_key(tmp_path / "b").public_hex


def test_what_the_key_signs_its_public_half_verifies(tmp_path: Path) -> None:
    key = device_key(tmp_path)

    signature = key.sign(b"report")

    Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public_hex)).verify(signature, b"report")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    device_key(tmp_path)
    (tmp_path / "device.key").chmod(0o644)

    with pytest.raises(KeyExposed, match="chmod 600"):
        device_key(tmp_path)


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    device_key(tmp_path)
    (tmp_path / "device.key").write_text("not hexadecimal")

    with pytest.raises(StateError, match="holds no key"):
        device_key(tmp_path)


def test_enrolling_sends_the_public_key_and_keeps_the_answer(tmp_path: Path, server: _Server) -> None:
    config = _config(tmp_path, server.server_port)

    answer = enroll(config, f" {TOKEN}\n", disk=SystemDisk())

    assert server.path == "/api/v1/enroll"
    assert server.asked == {
        "token": TOKEN,
        "device": "pi-1",
        "profile": "raspberry-pi-4",
        "public_key": device_key(tmp_path).public_hex,
        "agent_version": "0.1.0",
    }
    assert load_enrollment(tmp_path) == answer


def test_neither_token_nor_private_key_is_in_what_is_kept(tmp_path: Path, server: _Server) -> None:
    enroll(_config(tmp_path, server.server_port), TOKEN, disk=SystemDisk())

    kept = (tmp_path / "enrollment.json").read_text()
    assert TOKEN not in kept
    assert (tmp_path / "device.key").read_text() not in kept


def test_an_enrolled_device_does_not_enroll_again(tmp_path: Path, server: _Server) -> None:
    config = _config(tmp_path, server.server_port)
    enroll(config, TOKEN, disk=SystemDisk())

    with pytest.raises(AlreadyEnrolled, match="enrolled already; remove"):
        enroll(config, TOKEN, disk=SystemDisk())


def test_a_used_token_is_told_in_the_servers_words(tmp_path: Path, server: _Server) -> None:
    server.status = 403
    server.answer = {"error": {"code": "token_used", "message": "the token is used up; ask for a new one"}}

    with pytest.raises(EnrollmentRefused, match="the token is used up; ask for a new one") as caught:
        enroll(_config(tmp_path, server.server_port), TOKEN, disk=SystemDisk())

    assert caught.value.reason == "token_used"
    assert TOKEN not in str(caught.value)
    assert not (tmp_path / "enrollment.json").exists()


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match=r"check server\.url") as caught:
        enroll(_config(tmp_path, 1), TOKEN, disk=SystemDisk())

    assert "http://127.0.0.1:1" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (404, "nothing here", "answered 404; check server.url"),
        (200, ["hello"], "not as a fleet server does"),
        (200, {**GOOD, "broker_port": "many"}, "not as a fleet server does"),
        (200, {**GOOD, "device": "pi-2"}, "enrolled pi-2, not pi-1"),
    ],
)
def test_an_answer_that_is_no_fleet_servers_is_refused(
    tmp_path: Path, server: _Server, status: int, answer: object, words: str
) -> None:
    server.status, server.answer = status, answer

    with pytest.raises(EnrollmentRefused, match=words):
        enroll(_config(tmp_path, server.server_port), TOKEN, disk=SystemDisk())

    assert not (tmp_path / "enrollment.json").exists()


def test_a_full_disk_at_enrollment_is_told(tmp_path: Path, server: _Server) -> None:
    with pytest.raises(StateError, match="enrolled, but cannot write"):
        enroll(_config(tmp_path, server.server_port), TOKEN, disk=FullDisk("enrollment"))


def test_a_device_that_never_enrolled_is_told_how(tmp_path: Path) -> None:
    with pytest.raises(NotEnrolled, match="edgeship agent enroll"):
        load_enrollment(tmp_path)


def test_a_damaged_enrollment_is_named(tmp_path: Path) -> None:
    (tmp_path / "enrollment.json").write_text("{")

    with pytest.raises(StateError, match=r"enrollment\.json cannot be read"):
        load_enrollment(tmp_path)
