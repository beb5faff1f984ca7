"""The agent's own trust over the server's own answers: what people release and the server directs is what it plans."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.ids import DEFAULT_TENANT, ProfileName, ReleaseId
from contracts.metadata import NONCE_BYTES, MetadataName, MetadataRequest
from contracts.topics import Channel
from edge_agent.disk import SystemDisk
from edge_agent.errors import MetadataMissing
from edge_agent.trust.decision import Subject
from edge_agent.trust.errors import ReleaseUnassigned, SignatureRefused
from edge_agent.trust.trust import Trust, TrustPlaces
from fleet_server.trust.keys import KeyName, add_key
from tests.fleet_server.releases.offices import publish, release, submit, trusted_office
from tests.fleet_server.server import EnrolledDevice, SmallServer, a_release
from tests.fleet_server.trust.office import DIRECTOR, MODELS, TOP, Office

FIRST, SECOND = ReleaseId("digits@1.0.0"), ReleaseId("digits@2.0.0")
DIGITS = "digits/*/*.artifact"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The server, asked as the device asks it."""

    server: SmallServer
    device: EnrolledDevice

    def metadata(self, asked: MetadataRequest, *, limit_bytes: int) -> bytes:
        parts = self.server.answers.parts(self.device.topic(Channel.META_REQUEST), asked)
        data = b"".join(part.data for part in parts)
        if not 0 < len(data) <= limit_bytes:
            raise MetadataMissing(f"no {asked.repository} {asked.name} {asked.version}")
        return data


@pytest.fixture
def office(small_server: SmallServer) -> Office:
    """An office whose team ``vision`` released digits 1.0.0 and 2.0.0."""
    office = trusted_office(small_server)
    office.delegate("vision", DIGITS, threshold=2)
    release(small_server, office, a_release(), role="vision")
    release(small_server, office, a_release(version="2.0.0", counter=2), role="vision")
    return office


@pytest.fixture
def source(small_server: SmallServer) -> Answered:
    return Answered(server=small_server, device=small_server.enroll())


@pytest.fixture
def trust(tmp_path: Path, office: Office, source: Answered) -> Trust:
    (tmp_path / "root.json").write_text(office.roots[MODELS])
    (tmp_path / "director-root.json").write_text(office.roots[DIRECTOR])
    places = TrustPlaces(
        models_root=tmp_path / "root.json", director_root=tmp_path / "director-root.json", folder=tmp_path / "metadata"
    )
    subject = Subject(
        tenant=DEFAULT_TENANT,
        device=source.device.id,
        profile=ProfileName("raspberry-pi-4"),
        runtimes=frozenset({"onnx"}),
    )
    return Trust(places, subject, SystemDisk(), key=bytes(32), nonces=lambda: secrets.token_bytes(NONCE_BYTES))


def test_what_is_offered_is_planned_and_a_way_back_is_planned_too(
    small_server: SmallServer, source: Answered, trust: Trust
) -> None:
    small_server.offer(source.device, SECOND)
    forward = trust.plan(source, SECOND)

    small_server.offer(source.device, FIRST)
    back = trust.plan(source, FIRST)

    assert (forward.custom.release, back.custom.release) == (SECOND, FIRST)


def test_what_was_not_offered_is_not_planned(small_server: SmallServer, source: Answered, trust: Trust) -> None:
    small_server.offer(source.device, FIRST)

    with pytest.raises(ReleaseUnassigned):
        trust.plan(source, SECOND)


def test_a_floor_reaches_the_device(small_server: SmallServer, office: Office, source: Answered, trust: Trust) -> None:
    office.floor("vision", digits=2)
    publish(small_server, office, "vision")
    small_server.offer(source.device, SECOND)

    trust.plan(source, SECOND)

    assert trust.floors() == {"digits": 2}


def test_rotated_roots_and_a_new_directors_key_are_followed(
    small_server: SmallServer, office: Office, source: Answered, trust: Trust
) -> None:
    small_server.offer(source.device, FIRST)
    trust.plan(source, FIRST)
    key = add_key(small_server.config.data_dir, KeyName.DIRECTOR)[0].public
    office.name_server_key(DIRECTOR, key)
    roots = {name: [office.next_root(name) for _ in range(3)] for name in (MODELS, DIRECTOR)}

    answer = submit(small_server, roots=roots[MODELS], director_roots=roots[DIRECTOR], targets=office.sign(TOP))
    small_server.offer(source.device, SECOND)

    assert answer.status_code == 200, answer.text
    assert trust.plan(source, SECOND).custom.release == SECOND


def test_what_somebody_changed_on_the_way_is_not_obeyed(
    small_server: SmallServer, source: Answered, trust: Trust
) -> None:
    small_server.offer(source.device, FIRST)

    with pytest.raises(SignatureRefused):
        trust.plan(Changed(server=small_server, device=source.device), FIRST)


class Changed(Answered):
    """A server whose timestamps somebody changes on the way."""

    def metadata(self, asked: MetadataRequest, *, limit_bytes: int) -> bytes:
        data = super().metadata(asked, limit_bytes=limit_bytes)
        return data.replace(b'"version":1', b'"version":2') if asked.name is MetadataName.TIMESTAMP else data
