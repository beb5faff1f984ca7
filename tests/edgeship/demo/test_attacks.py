"""The intruder does what it says to a real server, a device's own trust is what stops it, and all can be undone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from contracts.artifact import read_artifact
from contracts.chunks import cut
from contracts.codec import encode
from contracts.ids import DEFAULT_TENANT, Digest, ProfileName, ReleaseId, digest_of
from contracts.manifest import ModelFormat
from contracts.metadata import LIMITS_BYTES, NONCE_BYTES, MetadataName, MetadataRequest
from contracts.release import ReleasedArtifact
from contracts.topics import Channel, DeviceTopic
from edge_agent.disk import SystemDisk
from edge_agent.errors import MetadataMissing
from edge_agent.trust.decision import Subject
from edge_agent.trust.errors import MetadataRollback, SignatureRefused
from edge_agent.trust.trust import Trust, TrustPlaces
from edgeship.demo.attacks import Intruder, describe
from edgeship.demo.releasing import CHUNK_BYTES
from fleet_server.releases.vault import Vault
from tests.fakes.clock import START
from tests.fleet_server.server import Desk, EnrolledDevice, SmallServer, a_release, a_server
from tests.signing.repositories import PASSPHRASE

pytestmark = pytest.mark.slow

PI = ProfileName("raspberry-pi-4")
GENUINE, NEWER, FORGED = ReleaseId("digits@1.0.0"), ReleaseId("digits@1.1.0"), ReleaseId("digits@6.6.6")


@dataclass(frozen=True, kw_only=True)
class ServerMetadata:
    """Implements ``MetadataSource``: what the server would answer to a device."""

    server: SmallServer
    device: EnrolledDevice

    def metadata(self, asked: MetadataRequest, *, limit_bytes: int) -> bytes:
        topic = DeviceTopic(tenant=DEFAULT_TENANT, device=self.device.id, channel=Channel.META_REQUEST)
        data = b"".join(part.data for part in self.server.answers.parts(topic, asked))
        if not 0 < len(data) <= limit_bytes:
            raise MetadataMissing(f"no {asked.name} {asked.version}")
        return data


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A server with one genuine release, the desk that signed it, a device, and the intruder."""

    server: SmallServer
    desk: Desk
    device: EnrolledDevice
    trust: Trust
    intruder: Intruder
    folder: Path

    def publish(self, *, version: str, counter: int) -> Path:
        """Sign and publish a release as the demo does, in chunks of its size."""
        data = a_release(version=version, counter=counter, chunks=2)
        path = self.write(data)
        self.desk.repository.draft(path, chunk_bytes=CHUNK_BYTES)
        self.desk.repository.sign(self.desk.keys, passphrase=PASSPHRASE, now=START)
        index = encode(cut(data, CHUNK_BYTES))
        api, body = self.server.api, {"roots": [self.desk.root], "targets": self.desk.targets}
        api.put(f"/api/v1/artifacts/{digest_of(data)}", content=data).raise_for_status()
        api.put(f"/api/v1/indexes/{digest_of(index)}", content=index).raise_for_status()
        api.post("/api/v1/metadata", json=body).raise_for_status()
        return path

    def forge(self) -> ReleaseId:
        """Let the intruder put its release there."""
        return self.intruder.forge_release(
            self.write(a_release(version="6.6.6", counter=99, chunks=2)), now=self.server.clock.now()
        )

    def write(self, data: bytes) -> Path:
        """Return a file that holds the artifact."""
        path = self.folder / f"{digest_of(data)[:8]}.artifact"
        path.write_bytes(data)
        return path

    def listed(self) -> set[str]:
        """Return the releases that the server shows."""
        return {release["id"] for release in self.server.api.get("/api/v1/releases").json()}

    def plan(self, release: ReleaseId) -> ReleasedArtifact:
        """Offer the release, and let the device decide."""
        self.server.offer(self.device, release)
        return self.trust.plan(ServerMetadata(server=self.server, device=self.device), release)

    def newest(self, role: MetadataName) -> bytes:
        """Return the server's newest file of the role."""
        source = ServerMetadata(server=self.server, device=self.device)
        return source.metadata(MetadataRequest(name=role, request=0), limit_bytes=LIMITS_BYTES[role])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    server = a_server(tmp_path)
    desk = server.desk(tmp_path / "desk")
    device = server.enroll()
    folder = server.config.data_dir
    made = Scene(
        server=server,
        desk=desk,
        device=device,
        trust=_trust(desk, device, tmp_path / "device"),
        intruder=Intruder.enter(folder),
        folder=tmp_path,
    )
    made.publish(version="1.0.0", counter=1)
    yield made
    made.intruder.engine.dispose()
    server.engine.dispose()


def _trust(desk: Desk, device: EnrolledDevice, folder: Path) -> Trust:
    places = TrustPlaces(
        models_root=desk.repository.root_path, director_root=desk.repository.director_root_path, folder=folder
    )
    subject = Subject(tenant=DEFAULT_TENANT, device=device.id, profile=PI, runtimes=frozenset(ModelFormat))
    return Trust(places, subject, SystemDisk(), key=bytes(32), nonces=lambda: secrets.token_bytes(NONCE_BYTES))


def test_a_forged_release_is_listed_and_all_its_bytes_are_there(scene: Scene) -> None:
    release = scene.forge()

    assert release == FORGED
    assert scene.listed() == {GENUINE, FORGED}
    chunks = cut(a_release(version="6.6.6", counter=99, chunks=2), CHUNK_BYTES).digests
    vault = Vault(scene.server.config.data_dir / "vault")
    assert [digest_of(vault.chunk(Digest(chunk.hex()))) for chunk in chunks] == [chunk.hex() for chunk in chunks]


def test_only_the_targets_signature_gives_the_forgery_away(scene: Scene) -> None:
    root = Metadata[Root].from_bytes(scene.desk.root.encode()).signed

    scene.forge()

    forged = Metadata[Targets].from_bytes(scene.newest(MetadataName.TARGETS))
    snapshot = Metadata[Snapshot].from_bytes(scene.newest(MetadataName.SNAPSHOT))
    timestamp = Metadata[Timestamp].from_bytes(scene.newest(MetadataName.TIMESTAMP))
    root.verify_delegate("snapshot", snapshot.signed_bytes, snapshot.signatures)
    root.verify_delegate("timestamp", timestamp.signed_bytes, timestamp.signatures)
    assert snapshot.signed.meta["targets.json"].version == forged.signed.version
    with pytest.raises(UnsignedMetadataError):
        root.verify_delegate("targets", forged.signed_bytes, forged.signatures)


def test_a_device_refuses_the_forgery_and_trusts_the_next_genuine_publication(scene: Scene) -> None:
    assert scene.plan(GENUINE).custom.counter == 1
    release = scene.forge()
    with pytest.raises(SignatureRefused, match="targets metadata are not signed by the keys"):
        scene.plan(release)

    scene.intruder.withdraw_forgery(release)

    assert scene.listed() == {GENUINE}
    scene.publish(version="1.1.0", counter=2)
    assert scene.plan(NEWER).custom.counter == 2


def test_a_flipped_byte_is_one_bit_of_a_chunk_that_no_device_holds_and_is_put_right(scene: Scene) -> None:
    held, artifact = scene.publish(version="1.0.1", counter=2), scene.publish(version="1.1.0", counter=3)
    digests = [Digest(chunk.hex()) for chunk in cut(artifact.read_bytes(), CHUNK_BYTES).digests]
    vault = Vault(scene.server.config.data_dir / "vault")
    genuine = {digest: vault.chunk(digest) for digest in digests}

    with scene.intruder.flipped_byte(artifact, held=held) as place:
        damaged = vault.chunk(digests[place])

    known = {chunk.hex() for chunk in cut(held.read_bytes(), CHUNK_BYTES).digests}
    assert digests[place] not in known
    assert (int.from_bytes(genuine[digests[place]]) ^ int.from_bytes(damaged)).bit_count() == 1
    assert {digest: vault.chunk(digest) for digest in digests} == genuine


def test_old_metadata_played_again_are_genuine_and_an_up_to_date_device_refuses_them(scene: Scene) -> None:
    old = scene.intruder.copy_metadata()
    scene.publish(version="1.1.0", counter=2)
    scene.plan(NEWER)

    with scene.intruder.replayed_metadata(old):
        replayed = {role: scene.newest(role).decode() for role in old}
        with pytest.raises(MetadataRollback, match="timestamp metadata are older"):
            scene.plan(NEWER)

    assert replayed == {role: text for role, (_, text) in old.items()}
    assert scene.plan(NEWER).custom.counter == 2


def test_a_replay_that_fails_half_way_is_undone_too(scene: Scene) -> None:
    old = scene.intruder.copy_metadata()
    scene.publish(version="1.1.0", counter=2)
    newest = scene.newest(MetadataName.TARGETS)

    with pytest.raises(KeyboardInterrupt), scene.intruder.replayed_metadata(old):
        raise KeyboardInterrupt

    assert scene.newest(MetadataName.TARGETS) == newest


def test_what_targets_would_say_of_an_artifact_is_what_it_is() -> None:
    data = a_release(chunks=2)

    said = describe(data)

    assert (said.path, said.digest, said.length) == (f"digits/1.0.0/{PI}.artifact", digest_of(data), len(data))
    assert said.custom.index == digest_of(encode(cut(data, CHUNK_BYTES)))
    assert said.custom.counter == read_artifact(data).manifest.counter
