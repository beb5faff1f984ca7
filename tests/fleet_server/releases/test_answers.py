"""What a device gets that asks for metadata of the model repository."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidId
from contracts.ids import DEFAULT_TENANT, DeviceId
from contracts.metadata import LIMITS_BYTES, PART_BYTES, MetadataName, MetadataRequest, RepositoryName
from contracts.topics import Channel, DeviceTopic
from fleet_server.database.session import transaction
from fleet_server.errors import MalformedRequest, TooLarge
from fleet_server.releases import store
from tests.fleet_server.releases.offices import document, publish, release, trusted_office
from tests.fleet_server.server import SmallServer, a_release
from tests.fleet_server.trust.office import Office

TOPIC = DeviceTopic(tenant=DEFAULT_TENANT, device=DeviceId("pi-1"), channel=Channel.META_REQUEST)


@pytest.fixture
def office(small_server: SmallServer) -> Office:
    return trusted_office(small_server)


def ask(server: SmallServer, name: MetadataName, **fields: object) -> str:
    request = MetadataRequest(name=name, request=1, **fields)  # type: ignore[arg-type]  # what a test asks
    return b"".join(part.data for part in server.answers.parts(TOPIC, request)).decode()


def put(server: SmallServer, role: str, text: str) -> None:
    with transaction(server.engine) as session:
        store.put_document(session, DEFAULT_TENANT, role, version=10**9, text=text, now=server.clock.now())


def test_a_teams_file_comes_by_its_name_and_version(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", "digits/*/*.artifact")
    release(small_server, office, a_release(), role="vision")
    first = document(small_server, "targets/vision")
    publish(small_server, office, "vision")

    assert ask(small_server, MetadataName.TARGETS, team="vision", version=1) == first
    assert ask(small_server, MetadataName.TARGETS, team="vision") == document(small_server, "targets/vision", 2)
    assert ask(small_server, MetadataName.TARGETS) == document(small_server, "targets")
    assert ask(small_server, MetadataName.TARGETS, team="speech") == ""


def test_each_repository_has_its_own_root(small_server: SmallServer, office: Office) -> None:
    roots = [ask(small_server, MetadataName.ROOT, repository=repository, version=1) for repository in RepositoryName]

    assert roots == [document(small_server, "root"), document(small_server, store.DIRECTOR_ROOT)]
    assert roots[0] != roots[1]


@pytest.mark.parametrize("version", [-1, 2**53])
def test_a_version_that_cannot_be_is_malformed(small_server: SmallServer, office: Office, version: int) -> None:
    with pytest.raises(MalformedRequest):
        ask(small_server, MetadataName.ROOT, version=version)


@pytest.mark.parametrize("name", [MetadataName.ROOT, MetadataName.SNAPSHOT, MetadataName.TIMESTAMP])
def test_a_team_has_targets_alone(small_server: SmallServer, office: Office, name: MetadataName) -> None:
    with pytest.raises(MalformedRequest, match=f"a team has no {name}"):
        ask(small_server, name, team="vision")


@pytest.mark.parametrize("team", ["../root", "VISION", "director/root", "a" * 64])
def test_a_team_that_is_no_name_is_refused(small_server: SmallServer, office: Office, team: str) -> None:
    with pytest.raises(InvalidId):
        ask(small_server, MetadataName.TARGETS, team=team)


def test_nothing_longer_than_a_device_takes_is_sent(small_server: SmallServer, office: Office) -> None:
    put(small_server, "root", "x" * (LIMITS_BYTES[MetadataName.ROOT] + 1))

    with pytest.raises(TooLarge):
        ask(small_server, MetadataName.ROOT)


def test_a_long_file_comes_in_parts(small_server: SmallServer, office: Office) -> None:
    text = "x" * (PART_BYTES + 1)
    put(small_server, "targets", text)
    request = MetadataRequest(name=MetadataName.TARGETS, request=1)

    parts = list(small_server.answers.parts(TOPIC, request))

    assert [(part.part, part.parts, len(part.data)) for part in parts] == [(0, 2, PART_BYTES), (1, 2, 1)]
