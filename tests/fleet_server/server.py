"""A whole fleet server in one folder, its API through a test client, its broker replaced by a list."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import AttributeOID, NameOID
from fastapi import FastAPI
from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from starlette.testclient import TestClient

from contracts.chunks import cut
from contracts.codec import encode
from contracts.envelope import Envelope, ReportKind, signed_bytes
from contracts.ids import DEFAULT_TENANT, BootId, DeviceId, ReleaseId, RolloutId, digest_of
from contracts.metadata import RepositoryName
from contracts.topics import Channel, DeviceTopic
from fleet_server.app import create_app
from fleet_server.broker.inbox import Inbox
from fleet_server.config import BrokerConfig, ServerConfig
from fleet_server.database.session import transaction
from fleet_server.delivery.sending import Sending
from fleet_server.device_app import create_device_app
from fleet_server.devices import store as devices
from fleet_server.director.director import Director
from fleet_server.identity.listener import with_certificate
from fleet_server.releases.answers import Answers
from fleet_server.releases.courier import Courier
from fleet_server.releases.deltas import Deltas
from fleet_server.releases.publishing import trust_roots
from fleet_server.releases.vault import Vault
from fleet_server.setting_up import FirstSecrets, set_up_server
from fleet_server.trust.keys import KeyRing
from fleet_server.wiring import Wiring
from signing.keys import init_keys
from signing.repository import Repository
from tests.fakes.clock import START, FakeClock
from tests.signing.repositories import PASSPHRASE, an_artifact

BOOT = BootId("boot-1")


class Delivered:
    """A message that the broker took, or did not."""

    def __init__(self, *, arrived: bool) -> None:
        self._arrived = arrived

    def wait(self, timeout_s: float) -> bool:
        del timeout_s
        return self._arrived


class FakePublisher:
    """Implements ``Publisher``: keeps what is published; with ``arrives`` False nothing reaches the broker."""

    def __init__(self) -> None:
        self.connected = True
        self.connections = 1
        self.arrives = True
        self.published: list[tuple[str, bytes, bool]] = []

    def publish(self, topic: str, body: bytes, *, retain: bool = False) -> Delivered:
        if self.arrives:
            self.published.append((topic, body, retain))
        return Delivered(arrived=self.arrives)

    def bodies(self, channel: Channel) -> list[bytes]:
        """Return what went out on that channel, in order."""
        return [body for topic, body, _ in self.published if topic.endswith(f"/{channel}")]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A release engineer's repository, made for one server."""

    folder: Path
    repository: Repository

    @property
    def keys(self) -> Path:
        """Where the offline keys lie."""
        return self.folder / "keys"

    def release(self, *artifacts: bytes) -> None:
        """Sign the artifacts."""
        for data in artifacts:
            path = self.folder / f"{digest_of(data)}.artifact"
            path.write_bytes(data)
            self.repository.draft(path)
        self.repository.sign(self.keys, passphrase=PASSPHRASE, now=START)

    @property
    def root(self) -> str:
        """The root's text."""
        return self.repository.root_path.read_text()

    @property
    def roots(self) -> dict[RepositoryName, str]:
        """The texts of both repositories' roots."""
        return {
            RepositoryName.MODELS: self.root,
            RepositoryName.DIRECTOR: self.repository.director_root_path.read_text(),
        }

    @property
    def targets(self) -> str:
        """The newest targets' text."""
        return self.repository.targets_path.read_text()


@dataclass(frozen=True, kw_only=True)
class EnrolledDevice:
    """A device with its key, as the server knows it."""

    id: DeviceId
    key: Ed25519PrivateKey
    certificate: str = ""

    def topic(self, channel: Channel = Channel.REPORT) -> DeviceTopic:
        """Return one of the device's topics."""
        return DeviceTopic(tenant=DEFAULT_TENANT, device=self.id, channel=channel)

    def seal(self, sequence: int, kind: ReportKind, message: object, *, boot: BootId = BOOT) -> bytes:
        """Return the message in a signed envelope."""
        body = encode(message)
        signed = signed_bytes(tenant=DEFAULT_TENANT, device=self.id, boot=boot, sequence=sequence, kind=kind, body=body)
        return encode(Envelope(boot=boot, sequence=sequence, kind=kind, body=body, signature=self.key.sign(signed)))


@dataclass(kw_only=True)
class SmallServer:
    """The parts of one server that tests touch."""

    config: ServerConfig
    secrets: FirstSecrets
    clock: FakeClock = field(default_factory=FakeClock)
    publisher: FakePublisher = field(default_factory=FakePublisher)

    @cached_property
    def app(self) -> FastAPI:
        """The application."""
        return create_app(self.config, clock=self.clock)

    @cached_property
    def wiring(self) -> Wiring:
        """The application's shared parts."""
        wiring = self.app.state.wiring
        assert isinstance(wiring, Wiring)
        return wiring

    @property
    def engine(self) -> Engine:
        """The database."""
        return self.wiring.engine

    @property
    def vault(self) -> Vault:
        """The bytes."""
        return self.wiring.vault

    @property
    def online_keys(self) -> KeyRing:
        """The server's keys for snapshot and timestamp."""
        return self.wiring.rings[RepositoryName.MODELS]

    @property
    def director_keys(self) -> KeyRing:
        """The server's keys for what devices should run."""
        return self.wiring.rings[RepositoryName.DIRECTOR]

    @cached_property
    def answers(self) -> Answers:
        """Who answers requests for metadata."""
        return Answers(self.engine, Director(self.engine, self.clock, self.director_keys), self.deltas)

    @cached_property
    def deltas(self) -> Deltas:
        """What devices hear of deltas."""
        return Deltas(self.engine, self.vault, self.clock)

    @cached_property
    def api(self) -> TestClient:
        """The API, for the first user's token."""
        return TestClient(self.app, headers={"Authorization": f"Bearer {self.secrets.token}"})

    @cached_property
    def strangers_api(self) -> TestClient:
        """The API, for somebody without a token."""
        return TestClient(self.app)

    @cached_property
    def devices_app(self) -> FastAPI:
        """The application behind the listener for devices."""
        return create_device_app(self.wiring)

    @cached_property
    def devices_api(self) -> TestClient:
        """The device listener, for somebody without a certificate."""
        return TestClient(self.devices_app)

    def api_of(self, device: EnrolledDevice) -> TestClient:
        """The device listener, for that device's certificate."""
        shown = x509.load_pem_x509_certificate(device.certificate.encode())
        return TestClient(with_certificate(self.devices_app, shown.public_bytes(serialization.Encoding.DER)))

    @cached_property
    def inbox(self) -> Inbox:
        """Where reports arrive."""
        return Inbox(self.engine, self.clock, self.publisher)

    @cached_property
    def courier(self) -> Courier:
        """Who answers requests."""
        return Courier(
            self.engine,
            self.clock,
            publisher=self.publisher,
            answers=self.answers,
            cuts=self.wiring.cuts,
            sending=self.sending,
        )

    @cached_property
    def sending(self) -> Sending:
        """Who sends chunks; the test says when."""
        return Sending(self.publisher, self.vault, self.wiring.buckets, monotonic_s=time.monotonic)

    def desk(self, folder: Path) -> Desk:
        """Return a release engineer's desk whose root this server trusts."""
        folder.mkdir()
        init_keys(folder / "keys", PASSPHRASE)
        repository = Repository.create(
            folder / "repository",
            folder / "keys",
            passphrase=PASSPHRASE,
            online=self.online_keys.public,
            director=self.director_keys.public,
            now=START,
        )
        desk = Desk(folder=folder, repository=repository)
        with transaction(self.engine) as session:
            trust_roots(session, DEFAULT_TENANT, desk.roots, rings=self.wiring.rings, now=self.clock.now())
        return desk

    def upload(self, *artifacts: bytes) -> None:
        """Send artifacts and their indexes."""
        for data in artifacts:
            self.api.put(f"/api/v1/artifacts/{digest_of(data)}", content=data).raise_for_status()
            index = encode(cut(data))
            self.api.put(f"/api/v1/indexes/{digest_of(index)}", content=index).raise_for_status()

    def publish(self, desk: Desk, *artifacts: bytes) -> None:
        """Sign, upload and publish the artifacts."""
        desk.release(*artifacts)
        self.upload(*artifacts)
        answer = self.api.post("/api/v1/metadata", json={"roots": [desk.root], "targets": desk.targets})
        assert answer.status_code == 200, answer.text

    def enroll(self, name: str = "pi-1", *, group: str = "lab", profile: str = "raspberry-pi-4") -> EnrolledDevice:
        """Return a device that joined with a token made for it."""
        self.api.post("/api/v1/groups", json={"name": group})
        key = Ed25519PrivateKey.generate()
        token = self.api.post("/api/v1/enrollment-tokens", json={"group": group}).json()["token"]
        answer = self.devices_api.post("/api/v1/enroll", json=enrollment_body(token, name, key, profile=profile))
        assert answer.status_code == 200, answer.text
        return EnrolledDevice(id=DeviceId(name), key=key, certificate=answer.json()["certificate"])

    def offer(self, device: EnrolledDevice, release: str, *, max_bytes_s: int = 0) -> int:
        """Offer the release to the device and return the generation."""
        with transaction(self.engine) as session:
            return devices.offer(
                session,
                DEFAULT_TENANT,
                device.id,
                release=ReleaseId(release),
                rollout=RolloutId("rollout-1"),
                attempt=1,
                max_bytes_s=max_bytes_s,
                now=self.clock.now(),
            )


def a_server(folder: Path, *, database_url: str = "") -> SmallServer:
    """Return a server that was set up in the folder."""
    config = ServerConfig(data_dir=folder / "server", database_url=database_url, broker=BrokerConfig(port=1883))
    return SmallServer(config=config, secrets=set_up_server(config, START))


def enrollment_body(
    token: str, name: str, key: Ed25519PrivateKey, *, profile: str = "raspberry-pi-4"
) -> dict[str, str]:
    """Return what a device sends to join."""
    return {
        "token": token.partition(".")[0],
        "device": name,
        "profile": profile,
        "csr": certificate_request(key),
        "agent_version": "0.1.0",
        "site": "",
    }


def certificate_request(key: Ed25519PrivateKey, *, nonce: str = "", name: str = "") -> str:
    """Return a request for a certificate, PEM."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if nonce:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, nonce.encode())
    return builder.sign(key, None).public_bytes(serialization.Encoding.PEM).decode()


def a_release(*, version: str = "1.0.0", counter: int = 1, chunks: int = 3, profile: str = "raspberry-pi-4") -> bytes:
    """Return an artifact of about that many chunks of 64 KiB, no two alike."""
    noise = hashlib.shake_256(version.encode()).digest((64 * chunks - 32) * 1024)
    return an_artifact(version=version, counter=counter, profile=profile, content=noise)


@contextmanager
def read_only(engine: Engine) -> Iterator[None]:
    """Let the SQLite database refuse every write, as on a disk that went read-only."""

    def refuse_writes(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    engine.dispose()
    event.listen(engine, "connect", refuse_writes)
    yield
    event.remove(engine, "connect", refuse_writes)
    engine.dispose()
