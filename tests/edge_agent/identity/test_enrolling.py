"""Joining a fleet over real HTTPS on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts.enrollment import AuthorityAnswer
from contracts.ids import parse_device_id, parse_profile_name
from edge_agent.config import AgentConfig, ServerConfig
from edge_agent.disk import SystemDisk
from edge_agent.errors import AlreadyEnrolled, EnrollmentRefused, NotEnrolled, ServerUnreachable, StateError
from edge_agent.identity import device_key, enroll, load_enrollment
from edge_agent.identity.exchange import ask
from edge_agent.identity.tls import fingerprint_of, pinned_tls
from tests.fakes.disk import FullDisk
from tests.fakes.https_server import ScriptedServer, scripted_server
from tests.fakes.identities import Registry

SECRET = "one-time-secret-4711"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.make(tmp_path / "server")


@pytest.fixture
def server(registry: Registry) -> Iterator[ScriptedServer]:
    with scripted_server(registry) as server:
        server.answer = _good(registry)
        yield server


@pytest.fixture
def token(registry: Registry) -> str:
    return f"{SECRET}.{registry.authority.fingerprint}"


def _good(registry: Registry) -> dict[str, object]:
    return {
        "tenant": "default",
        "device": "pi-1",
        "group": "line-3",
        "broker_host": "127.0.0.1",
        "broker_port": 8883,
        "certificate": registry.papers("pi-1").pem,
        "authorities": registry.authority.pem,
    }


def _config(state: Path, url: str) -> AgentConfig:
    return AgentConfig(
        device=parse_device_id("pi-1"),
        profile=parse_profile_name("raspberry-pi-4"),
        state_dir=state,
        trust_root=state / "root.json",
        director_root=state / "director-root.json",
        server=ServerConfig(url=url),
        site="lyon",
    )


def test_enrolling_sends_a_request_of_the_key_and_keeps_the_answer(
    tmp_path: Path, server: ScriptedServer, token: str
) -> None:
    answer = enroll(_config(tmp_path, server.url), f" {token}\n", disk=SystemDisk())

    asked = x509.load_pem_x509_csr(server.asked.pop("csr").encode()).public_key()
    assert isinstance(asked, Ed25519PublicKey)
    assert asked.public_bytes_raw().hex() == device_key(tmp_path).public_hex
    assert server.posted == "/api/v1/enroll"
    assert server.asked == {
        "token": SECRET,
        "device": "pi-1",
        "profile": "raspberry-pi-4",
        "agent_version": "0.1.0",
        "site": "lyon",
    }
    place = load_enrollment(tmp_path)
    assert (place.tenant, place.group, place.broker_port) == (answer.tenant, answer.group, 8883)
    assert (tmp_path / "authority.pem").read_text() == answer.authorities
    assert answer.certificate in (tmp_path / "device.pem").read_text()
    assert (tmp_path / "device.pem").stat().st_mode & 0o777 == 0o600


def test_an_answer_has_one_deadline_for_all_of_it(server: ScriptedServer, registry: Registry) -> None:
    tls = pinned_tls(registry.authority.pem)

    with pytest.raises(ServerUnreachable, match="the answer took too long"):
        ask(ServerConfig(url=server.url), "/authority", AuthorityAnswer, tls=tls, answer_s=0.0)


class WatchedDisk(SystemDisk):
    """Notes with which permissions each file appears."""

    def __init__(self) -> None:
        self.modes: dict[str, int] = {}

    def write(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        super().write(path, data, mode=mode)
        self.modes[path.name] = path.stat().st_mode & 0o777


def test_the_private_key_is_private_from_the_first_moment(tmp_path: Path, server: ScriptedServer, token: str) -> None:
    disk = WatchedDisk()
    (tmp_path / "device.pem.new").write_text("left by a power cut, for all to read")

    enroll(_config(tmp_path, server.url), token, disk=disk)

    assert disk.modes["device.pem"] == 0o600


def test_neither_token_nor_private_key_is_sent_or_kept_where_it_should_not_be(
    tmp_path: Path, server: ScriptedServer, token: str
) -> None:
    enroll(_config(tmp_path, server.url), token, disk=SystemDisk())

    seed = (tmp_path / "device.key").read_text()
    kept = (tmp_path / "enrollment.json").read_text() + (tmp_path / "authority.pem").read_text()
    assert SECRET not in kept
    assert "PRIVATE" not in "".join(server.heard) + kept
    assert seed not in "".join(server.heard) + kept


def test_an_enrolled_device_does_not_enroll_again(tmp_path: Path, server: ScriptedServer, token: str) -> None:
    enroll(_config(tmp_path, server.url), token, disk=SystemDisk())

    with pytest.raises(AlreadyEnrolled, match="enrolled already; remove"):
        enroll(_config(tmp_path, server.url), token, disk=SystemDisk())


def test_a_used_token_is_told_in_the_servers_words(tmp_path: Path, server: ScriptedServer, token: str) -> None:
    server.status = 403
    server.answer = {"error": {"code": "token_used", "message": "the token is used up; ask for a new one"}}

    with pytest.raises(EnrollmentRefused, match="the token is used up; ask for a new one") as caught:
        enroll(_config(tmp_path, server.url), token, disk=SystemDisk())

    assert caught.value.reason == "token_used"
    assert SECRET not in str(caught.value)
    assert not (tmp_path / "enrollment.json").exists()


@pytest.mark.parametrize("text", ["", "secret", "secret-4711.abc", f"short.{'0' * 64}", f"secret-4711.{'G' * 64}"])
def test_a_token_without_the_authoritys_fingerprint_is_not_sent(
    tmp_path: Path, server: ScriptedServer, text: str
) -> None:
    with pytest.raises(EnrollmentRefused, match="copy the operator's token as a whole"):
        enroll(_config(tmp_path, server.url), text, disk=SystemDisk())

    assert server.heard == []


def test_a_server_that_is_not_there_is_named(tmp_path: Path, token: str) -> None:
    with pytest.raises(ServerUnreachable, match=r"check server\.url") as caught:
        enroll(_config(tmp_path, "https://127.0.0.1:1"), token, disk=SystemDisk())

    assert "https://127.0.0.1:1" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "change", "words"),
    [
        (404, {}, "answered 404; check server.url"),
        (200, {"broker_port": "many"}, "not as a fleet server does"),
        (200, {"certificate": 7}, "not as a fleet server does"),
        (200, {"device": "pi-2"}, "enrolled pi-2, not pi-1"),
    ],
)
def test_an_answer_that_is_no_fleet_servers_is_refused(
    tmp_path: Path, server: ScriptedServer, *, status: int, change: dict[str, object], words: str
) -> None:
    token = f"{SECRET}.{fingerprint_of(server.shows)[0]}"
    assert isinstance(server.answer, dict)
    server.status, server.answer = status, server.answer | change

    with pytest.raises(EnrollmentRefused, match=words):
        enroll(_config(tmp_path, server.url), token, disk=SystemDisk())

    assert not (tmp_path / "enrollment.json").exists()


@pytest.mark.parametrize("file", ["authority", "device.pem", "enrollment"])
def test_a_full_disk_at_enrollment_is_told_and_leaves_no_half_member(
    tmp_path: Path, server: ScriptedServer, token: str, file: str
) -> None:
    with pytest.raises(StateError, match="cannot write it"):
        enroll(_config(tmp_path, server.url), token, disk=FullDisk(file))

    assert not (tmp_path / "enrollment.json").exists()


def test_a_device_that_never_enrolled_is_told_how(tmp_path: Path) -> None:
    with pytest.raises(NotEnrolled, match="edgeship agent enroll"):
        load_enrollment(tmp_path)


def test_a_damaged_enrollment_is_named(tmp_path: Path) -> None:
    (tmp_path / "enrollment.json").write_text("{")

    with pytest.raises(StateError, match=r"enrollment\.json cannot be read"):
        load_enrollment(tmp_path)
