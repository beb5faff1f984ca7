"""Attacks 32 and 33, and those on tokens, topics, certificates and names: who one is cannot be claimed, only shown."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient

from contracts.codec import encode
from contracts.envelope import Envelope, ReportAck, ReportKind, signed_bytes
from contracts.health import Heartbeat
from contracts.ids import DEFAULT_TENANT, DeviceId, ModelName, ProfileName, ReleaseId, TenantId
from contracts.topics import Channel, device_topic, every_device
from edge_agent.config import AgentConfig, ServerConfig
from edge_agent.disk import SystemDisk
from edge_agent.errors import AuthorityRefused, EnrollmentRefused
from edge_agent.identity import enroll
from fleet_server.broker.embedded import start_embedded
from fleet_server.broker.mosquitto import start_mosquitto
from fleet_server.broker.taking_over import end_session
from fleet_server.clock import SystemClock
from fleet_server.config import BrokerConfig
from tests.conformance.link_laws import wait_until
from tests.fakes.clock import START
from tests.fakes.https_server import scripted_server
from tests.fakes.identities import Papers, Registry
from tests.fakes.intruder import Intruder, settle
from tests.fakes.real_broker import RealBroker, ServerEnd, Starter
from tests.fleet_server.server import BOOT, SmallServer, certificate_request, enrollment_body

A, B = DeviceId("pi-1"), DeviceId("pi-2")
ID_A, ID_B = "default/d/pi-1", "default/d/pi-2"
OTHER_TENANT = TenantId("other")


def topic(device: DeviceId, channel: Channel, *, tenant: TenantId = DEFAULT_TENANT) -> str:
    return device_topic(tenant, device, channel)


class Post:
    """A broker with the server at one end."""

    def __init__(self, folder: Path, start: Starter) -> None:
        self.broker = RealBroker(folder, start)
        self.registry = self.broker.registry
        self.heard: list[tuple[str, bytes]] = []
        self.server = ServerEnd(
            self.broker.port, self.registry.server_tls(), lambda where, data: self.heard.append((where, data))
        )

    def intruder(self, papers: Papers | None, *, client_id: str, will: str = "") -> Intruder:
        return Intruder(self.broker.port, papers.tls() if papers else None, client_id=client_id, will=will)

    def close(self) -> None:
        self.server.close()
        self.broker.stop()


@pytest.fixture(
    params=[
        pytest.param(start_mosquitto, id="mosquitto", marks=(pytest.mark.system, pytest.mark.slow)),
        pytest.param(start_embedded, id="amqtt", marks=pytest.mark.slow),
    ]
)
def post(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Post]:
    """The same refusals are asked of every broker that edgeship starts."""
    post = Post(tmp_path, request.param)
    yield post
    post.close()


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(topic(B, Channel.REPORT), id="report"),
        pytest.param(topic(B, Channel.CHUNK_REQUEST), id="request"),
        pytest.param(topic(A, Channel.REPORT, tenant=OTHER_TENANT), id="tenant"),
        pytest.param(topic(A, Channel.CHUNK), id="direction"),
    ],
)
def test_attack_32_device_a_publishes_as_b(post: Post, where: str) -> None:
    with post.intruder(post.registry.papers(A), client_id=ID_A) as intruder:
        intruder.publish(topic(A, Channel.REPORT), b"own")
        wait_until(lambda: bool(post.heard))
        intruder.publish(where, b"forged")
        settle()

    assert post.heard == [(topic(A, Channel.REPORT), b"own")]


def test_attack_32_device_a_offers_to_b_and_to_itself(post: Post) -> None:
    with (
        post.intruder(post.registry.papers(B), client_id=ID_B) as victim,
        post.intruder(post.registry.papers(A), client_id=ID_A) as intruder,
    ):
        victim.subscribe(topic(B, Channel.OFFER))
        intruder.subscribe(topic(A, Channel.OFFER))
        intruder.publish(topic(B, Channel.OFFER), b"forged", retain=True)
        intruder.publish(topic(A, Channel.OFFER), b"forged", retain=True)
        post.server.publish(topic(B, Channel.OFFER), b"genuine")
        wait_until(lambda: bool(victim.heard))
        settle()

        assert victim.heard == [(topic(B, Channel.OFFER), b"genuine")]
        assert intruder.heard == []


def test_attack_32_device_a_reads_b(post: Post) -> None:
    with post.intruder(post.registry.papers(A), client_id=ID_A) as intruder:
        intruder.subscribe(topic(B, Channel.OFFER), topic(B, Channel.CHUNK), topic(A, Channel.ACK))
        post.server.publish(topic(B, Channel.OFFER), b"for b", retain=True)
        post.server.publish(topic(B, Channel.CHUNK), b"for b")
        post.server.publish(topic(A, Channel.ACK), b"for a")
        wait_until(lambda: bool(intruder.heard))
        settle()

        assert intruder.heard == [(topic(A, Channel.ACK), b"for a")]


def test_attack_32_wildcards_read_nothing_of_others(post: Post) -> None:
    filters = ("#", "es/#", f"es/+/d/{A}/offer", "es/default/d/+/offer", every_device(Channel.REPORT), "$SYS/#")
    with (
        post.intruder(post.registry.papers(A), client_id=ID_A) as intruder,
        post.intruder(post.registry.papers(B), client_id=ID_B) as victim,
    ):
        intruder.subscribe(*filters)
        post.server.publish(topic(B, Channel.OFFER), b"for b", retain=True)
        post.server.publish(topic(A, Channel.OFFER, tenant=OTHER_TENANT), b"for another tenant")
        victim.publish(topic(B, Channel.REPORT), b"of b")
        wait_until(lambda: bool(post.heard))
        settle()

        assert [where for where, _ in intruder.heard] == []


def test_attack_32_a_cloned_client_id_throws_nobody_out(post: Post) -> None:
    with post.intruder(post.registry.papers(A), client_id=ID_A) as victim:
        with post.intruder(post.registry.papers(B), client_id=ID_A) as intruder:
            intruder.publish(topic(B, Channel.REPORT), b"own")
            wait_until(lambda: bool(post.heard))
            intruder.publish(topic(A, Channel.REPORT), b"forged")
            settle()

        assert victim.connected
    assert post.heard == [(topic(B, Channel.REPORT), b"own")]


def test_attack_32_a_shared_certificate_serves_one_at_a_time(post: Post) -> None:
    papers = post.registry.papers(A)
    with post.intruder(papers, client_id="first") as first, post.intruder(papers, client_id="second") as second:
        assert first.wait_ended()
        assert second.connected


def test_attack_32_a_will_speaks_for_nobody_else(post: Post) -> None:
    with post.intruder(post.registry.papers(A), client_id=ID_A, will=topic(B, Channel.REPORT)) as intruder:
        intruder.vanish()
        settle()

    assert post.heard == []


def test_attack_32_nobody_enters_without_a_certificate(post: Post) -> None:
    anonymous = ssl.create_default_context()
    anonymous.check_hostname, anonymous.verify_mode = False, ssl.CERT_NONE

    with (
        post.intruder(None, client_id=ID_A) as plain,
        Intruder(post.broker.port, anonymous, client_id=ID_A) as nameless,
    ):
        settle()

        assert (plain.connected, nameless.connected) == (False, False)


def test_attack_32_a_foreign_authority_vouches_for_nobody(post: Post, tmp_path: Path) -> None:
    foreign = Registry.make(tmp_path / "foreign").papers(A)
    trusting = dataclasses.replace(foreign, authority=post.registry.authority.pem)

    with post.intruder(trusting, client_id=ID_A) as intruder:
        settle()

        assert not intruder.connected


def test_attack_32_an_expired_certificate_lets_nobody_in(post: Post) -> None:
    with post.intruder(post.registry.papers(A, age_days=31), client_id=ID_A) as intruder:
        settle()

        assert not intruder.connected


def test_attack_32_a_revoked_device_is_thrown_out_and_stays_out(post: Post) -> None:
    papers = post.registry.papers(A)
    broker = BrokerConfig(host="127.0.0.1", port=post.broker.port)
    with post.intruder(papers, client_id=ID_A) as thief:
        post.registry.revoke(papers)
        post.broker.reload()
        settle()
        end_session(DEFAULT_TENANT, A, broker=broker, authority=post.registry.authority, clock=SystemClock())

        assert thief.wait_ended()
    with (
        post.intruder(papers, client_id=ID_A) as again,
        post.intruder(post.registry.papers(B), client_id=ID_B) as b,
    ):
        settle()

        assert (again.connected, b.connected) == (False, True)


def test_attack_32_a_device_cannot_pass_for_the_server(tmp_path: Path) -> None:
    registry = Registry.make(tmp_path)
    registry.folder.server.write_bytes(registry.papers(B).file.read_bytes())

    with scripted_server(registry) as impostor:
        config = _config(tmp_path, impostor.url)
        with pytest.raises(AuthorityRefused):
            enroll(config, f"secret-4711.{registry.authority.fingerprint}", disk=SystemDisk())

    assert "secret-4711" not in "".join(impostor.heard)


def test_attack_33_healthy_on_anothers_behalf_is_dropped(small_server: SmallServer) -> None:
    intruder, victim = small_server.enroll("pi-1"), small_server.enroll("pi-2")
    forged = intruder.seal(1, ReportKind.HEARTBEAT, a_heartbeat())

    small_server.inbox.take([(victim.topic(), forged)])

    assert small_server.inbox.counts == {"signature": 1}
    assert small_server.api.get("/api/v1/devices/pi-2").json()["status"] == "enrolled"


def test_attack_33_an_envelope_that_names_another_device_is_dropped(small_server: SmallServer) -> None:
    intruder, victim = small_server.enroll("pi-1"), small_server.enroll("pi-2")
    body = encode(a_heartbeat())
    signed = signed_bytes(
        tenant=DEFAULT_TENANT, device=victim.id, boot=BOOT, sequence=1, kind=ReportKind.HEARTBEAT, body=body
    )
    envelope = Envelope(
        boot=BOOT, sequence=1, kind=ReportKind.HEARTBEAT, body=body, signature=intruder.key.sign(signed)
    )

    small_server.inbox.take([(victim.topic(), encode(envelope)), (intruder.topic(), encode(envelope))])

    assert small_server.inbox.counts == {"signature": 2}


def test_attack_33_an_old_signed_status_played_again_changes_nothing(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")
    old = device.seal(1, ReportKind.HEARTBEAT, a_heartbeat(requests=1))
    new = device.seal(2, ReportKind.HEARTBEAT, a_heartbeat(requests=2))
    small_server.inbox.take([(device.topic(), old), (device.topic(), new)])

    small_server.inbox.take([(device.topic(), old)])

    assert small_server.inbox.counts == {"committed": 2, "duplicate": 1}
    assert small_server.api.get("/api/v1/devices/pi-1").json()["requests"] == 2
    assert small_server.publisher.bodies(Channel.ACK)[-1] == encode(ReportAck(boot=BOOT, sequence=2))


def test_attack_33_reports_of_a_revoked_device_are_dropped_and_counted(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")
    small_server.api.post("/api/v1/devices/pi-1/revoke").raise_for_status()

    small_server.inbox.take([(device.topic(), device.seal(1, ReportKind.HEARTBEAT, a_heartbeat()))])

    assert small_server.inbox.counts == {"revoked": 1}
    assert small_server.publisher.bodies(Channel.ACK) == []


def test_attack_token_a_used_token_lets_no_second_device_in(small_server: SmallServer) -> None:
    small_server.api.post("/api/v1/groups", json={"name": "lab"})
    token = small_server.api.post("/api/v1/enrollment-tokens", json={"group": "lab"}).json()["token"]
    first = enrollment_body(token, "pi-1", Ed25519PrivateKey.generate())
    second = enrollment_body(token, "pi-2", Ed25519PrivateKey.generate())

    small_server.devices_api.post("/api/v1/enroll", json=first).raise_for_status()
    answer = small_server.devices_api.post("/api/v1/enroll", json=second)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "enrollment_refused")
    assert [device["id"] for device in small_server.api.get("/api/v1/devices").json()] == ["pi-1"]


def test_attack_token_a_name_is_not_taken_over_with_another_key(small_server: SmallServer) -> None:
    small_server.enroll("pi-1")
    token = small_server.api.post("/api/v1/enrollment-tokens", json={"group": "lab"}).json()["token"]

    answer = small_server.devices_api.post(
        "/api/v1/enroll", json=enrollment_body(token, "pi-1", Ed25519PrivateKey.generate())
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "enrollment_refused")


def test_attack_token_a_man_in_the_middle_hears_no_secret(tmp_path: Path) -> None:
    honest, other = Registry.make(tmp_path / "honest"), Registry.make(tmp_path / "other")

    with scripted_server(other) as middle:
        config = _config(tmp_path, middle.url)
        with pytest.raises(AuthorityRefused, match="the token was not sent"):
            enroll(config, f"secret-4711.{honest.authority.fingerprint}", disk=SystemDisk())

    assert middle.heard == ["/api/v1/authority"]
    assert not (tmp_path / "state" / "enrollment.json").exists()


def test_attack_token_a_man_in_the_middle_shows_the_right_authority_and_hears_no_secret(tmp_path: Path) -> None:
    honest, other = Registry.make(tmp_path / "honest"), Registry.make(tmp_path / "other")

    with scripted_server(other) as middle:
        middle.shows = honest.authority.pem
        with pytest.raises(AuthorityRefused, match="no certificate of this device's authority"):
            enroll(_config(tmp_path, middle.url), f"secret-4711.{honest.authority.fingerprint}", disk=SystemDisk())

    assert middle.heard == ["/api/v1/authority"]


def test_attack_token_two_certificates_shown_as_one_are_not_both_trusted(tmp_path: Path) -> None:
    honest, other = Registry.make(tmp_path / "honest"), Registry.make(tmp_path / "other")

    with scripted_server(other) as middle:
        middle.shows = honest.authority.pem + other.authority.pem
        with pytest.raises(EnrollmentRefused, match="showed no certificate"):
            enroll(_config(tmp_path, middle.url), f"secret-4711.{honest.authority.fingerprint}", disk=SystemDisk())

    assert middle.heard == ["/api/v1/authority"]


def test_attack_certificate_only_the_enrolled_key_renews(small_server: SmallServer) -> None:
    small_server.enroll("pi-1")

    answer = _renew(small_server, "pi-1", Ed25519PrivateKey.generate(), nonce=_nonce(small_server))

    assert (answer, _certificates(small_server)) == ((403, "renewal_refused"), 1)


def test_attack_certificate_a_renewal_played_again_is_refused(small_server: SmallServer) -> None:
    device, nonce = small_server.enroll("pi-1"), _nonce(small_server)

    first = _renew(small_server, "pi-1", device.key, nonce=nonce)
    again = _renew(small_server, "pi-1", device.key, nonce=nonce)

    assert (first, again, _certificates(small_server)) == ((200, ""), (403, "renewal_refused"), 2)


def test_attack_certificate_an_old_nonce_is_refused(small_server: SmallServer) -> None:
    device, nonce = small_server.enroll("pi-1"), _nonce(small_server)

    small_server.clock.pass_s(301)

    assert _renew(small_server, "pi-1", device.key, nonce=nonce) == (403, "renewal_refused")


@pytest.mark.parametrize("nonce", ["made-up", f"{2**40:x}.aa.bb"], ids=["words", "form"])
def test_attack_certificate_a_made_up_nonce_is_refused(small_server: SmallServer, nonce: str) -> None:
    device = small_server.enroll("pi-1")

    assert _renew(small_server, "pi-1", device.key, nonce=nonce) == (403, "renewal_refused")


def test_attack_certificate_a_revoked_device_renews_no_more(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")
    small_server.api.post("/api/v1/devices/pi-1/revoke").raise_for_status()

    assert _renew(small_server, "pi-1", device.key, nonce=_nonce(small_server)) == (403, "renewal_refused")


def test_attack_certificate_a_revoked_device_fetches_no_more(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")
    before = small_server.api_of(device).get("/api/v1/device/name").status_code

    small_server.api.post("/api/v1/devices/pi-1/revoke").raise_for_status()
    after = small_server.api_of(device).get("/api/v1/device/name")

    assert (before, after.status_code, after.json()["error"]["code"]) == (200, 403, "certificate_refused")


def test_attack_certificate_an_expired_one_fetches_no_more(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")

    small_server.clock.pass_s(31 * 86_400)
    answer = small_server.api_of(device).get("/api/v1/device/name")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "certificate_refused")


def test_a_device_off_for_months_comes_back_with_an_expired_certificate(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")
    small_server.clock.pass_s(200 * 86_400)

    answer = _renew(small_server, "pi-1", device.key, nonce=_nonce(small_server))

    assert answer == (200, "")


def test_attack_certificate_one_that_was_never_issued_opens_nothing(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")
    forged = small_server.wiring.authority.for_device(
        DEFAULT_TENANT, device.id, device.key.public_key(), now=datetime.now(UTC), life=timedelta(days=9)
    )
    shown = dataclasses.replace(device, certificate=forged.public_bytes(serialization.Encoding.PEM).decode())

    assert small_server.api_of(shown).get("/api/v1/device/name").status_code == 403


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("<script>alert(1)</script>", id="html"),
        pytest.param("pi\n1", id="line"),
        pytest.param("pi\x00", id="nul"),
        pytest.param("../../etc/passwd", id="path"),
        pytest.param("pi'; DROP TABLE device;--", id="sql"),
        pytest.param("+", id="plus"),
        pytest.param("#", id="hash"),
        pytest.param("pi/d/other", id="topic"),
        pytest.param("Pi-1", id="capital"),
        pytest.param("p" * 55, id="long"),
        pytest.param("", id="empty"),
    ],
)
def test_attack_names_no_device_gets_a_name_that_is_none(small_server: SmallServer, name: str) -> None:
    small_server.api.post("/api/v1/groups", json={"name": "lab"})
    token = small_server.api.post("/api/v1/enrollment-tokens", json={"group": "lab"}).json()["token"]

    answer = small_server.devices_api.post(
        "/api/v1/enroll", json=enrollment_body(token, name, Ed25519PrivateKey.generate())
    )

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] in {"invalid_id", "request_refused"}
    assert small_server.api.get("/api/v1/devices").json() == []


def test_names_in_a_certificate_request_count_for_nothing(small_server: SmallServer) -> None:
    device, nonce = small_server.enroll("pi-1"), _nonce(small_server)
    csr = certificate_request(device.key, nonce=nonce, name="fleet-server")

    answer = small_server.devices_api.post(
        "/api/v1/renew", json={"tenant": "default", "device": "pi-1", "csr": csr}
    ).json()

    renewed = dataclasses.replace(device, certificate=answer["certificate"])
    assert small_server.api_of(renewed).get("/api/v1/device/name").json() == {"tenant": "default", "device": "pi-1"}


def test_attack_names_that_a_device_reports_are_text_and_nothing_else(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")
    poison = "<img src=x onerror=alert(1)>'; DROP TABLE device;--\x1b[31m"
    report = device.seal(1, ReportKind.HEARTBEAT, a_heartbeat(agent_version=poison))

    small_server.inbox.take([(device.topic(), report)])

    page = _browser(small_server).get("/devices/pi-1").text
    assert small_server.api.get("/api/v1/devices/pi-1").json()["agent_version"] == poison
    assert "<img src=x" not in page


def test_attack_names_of_releases_that_a_device_reports_must_be_names(small_server: SmallServer) -> None:
    device = small_server.enroll("pi-1")
    running = {"../../models": "digits@1.0.0"}

    small_server.inbox.take([(device.topic(), device.seal(1, ReportKind.HEARTBEAT, a_heartbeat(running=running)))])

    assert small_server.inbox.counts == {"not_applied": 1}
    assert small_server.api.get("/api/v1/devices/pi-1").json()["running"] == {}


def _config(folder: Path, url: str) -> AgentConfig:
    return AgentConfig(
        device=A,
        profile=ProfileName("raspberry-pi-4"),
        state_dir=folder / "state",
        trust_root=folder / "root.json",
        director_root=folder / "director-root.json",
        server=ServerConfig(url=url),
    )


def a_heartbeat(
    *, requests: int = 1, agent_version: str = "0.1.0", running: Mapping[str, str] = MappingProxyType({})
) -> Heartbeat:
    return Heartbeat(
        profile=ProfileName("raspberry-pi-4"),
        agent_version=agent_version,
        running={ModelName(model): ReleaseId(release) for model, release in running.items()},
        at=START,
        uptime_s=1.0,
        memory_bytes=1,
        requests=requests,
        errors=0,
        latency_p50_ms=1.0,
        latency_p95_ms=1.0,
        generation=0,
    )


def _browser(server: SmallServer) -> TestClient:
    browser = TestClient(server.app, headers={"Sec-Fetch-Site": "same-origin"})
    browser.post("/login", data={"name": server.secrets.user, "password": server.secrets.password})
    return browser


def _nonce(server: SmallServer) -> str:
    return str(server.devices_api.get("/api/v1/renew").json()["nonce"])


def _renew(server: SmallServer, device: str, key: Ed25519PrivateKey, *, nonce: str) -> tuple[int, str]:
    """Return status and the error's word, empty where there is none."""
    body = {"tenant": "default", "device": device, "csr": certificate_request(key, nonce=nonce)}
    answer = server.devices_api.post("/api/v1/renew", json=body)
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def _certificates(server: SmallServer) -> int:
    from sqlalchemy import func, select

    from fleet_server.database.session import reading
    from fleet_server.database.trust_tables import DeviceCertificateRow

    with reading(server.engine) as session:
        return session.scalar(select(func.count()).select_from(DeviceCertificateRow)) or 0
