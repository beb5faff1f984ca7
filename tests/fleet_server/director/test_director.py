"""The director: signs for each device what it should run and the time, so that TUF's own rules accept it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import MappingProxyType

import pytest
from sqlalchemy import select, update
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from contracts.codec import decode, encode, from_plain
from contracts.director import ASSIGNMENT_FIELD, TIME_FIELD, Assignment, TimeAnswer
from contracts.ids import DEFAULT_TENANT, DeviceId, TenantId
from contracts.metadata import NONCE_BYTES, MetadataAnswer, MetadataName, MetadataRequest, RepositoryName
from contracts.topics import Channel, DeviceTopic
from fleet_server.database.session import reading, transaction
from fleet_server.database.tables import DeviceRow
from fleet_server.database.trust_tables import DirectorFileRow
from fleet_server.director.director import Director
from fleet_server.releases.store import DIRECTOR_ROOT
from fleet_server.trust.keys import KeyName, add_key
from tests.fleet_server.releases.offices import document, publish, release, submit, trusted_office
from tests.fleet_server.server import EnrolledDevice, SmallServer, a_release
from tests.fleet_server.trust.office import DIRECTOR, Office
from tests.signing.repositories import an_artifact

NONCE = bytes(range(NONCE_BYTES))
PATH = "digits/1.0.0/raspberry-pi-4.artifact"
on_both_databases = pytest.mark.parametrize(
    "server",
    ["small_server", pytest.param("postgres_server", marks=[pytest.mark.slow, pytest.mark.system])],
    indirect=True,
)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> SmallServer:
    chosen = request.getfixturevalue(getattr(request, "param", "small_server"))
    assert isinstance(chosen, SmallServer)
    return chosen


@pytest.fixture
def office(server: SmallServer) -> Office:
    return trusted_office(server)


def ask(server: SmallServer, device: EnrolledDevice, name: MetadataName, **fields: object) -> bytes:
    """Ask the director as a device does and return what came, put together."""
    before = len(server.publisher.bodies(Channel.META))
    request = MetadataRequest(name=name, request=7, repository=RepositoryName.DIRECTOR, **fields)  # type: ignore[arg-type]  # what a test asks
    server.courier.answer(device.topic(Channel.META_REQUEST), encode(request))
    return b"".join(decode(MetadataAnswer, body).data for body in server.publisher.bodies(Channel.META)[before:])


def refresh(server: SmallServer, device: EnrolledDevice, *, nonce: bytes = NONCE) -> TrustedMetadataSet:
    """Return what the director signed for the device now, as TUF's own rules accept it."""
    trusted = TrustedMetadataSet(ask(server, device, MetadataName.ROOT, version=1), EnvelopeType.METADATA)
    newest = Metadata.from_bytes(ask(server, device, MetadataName.ROOT)).signed.version
    for version in range(2, newest + 1):
        trusted.update_root(ask(server, device, MetadataName.ROOT, version=version))
    trusted.reference_time = server.clock.now()
    timestamp = trusted.update_timestamp(ask(server, device, MetadataName.TIMESTAMP, nonce=nonce))
    snapshot = ask(server, device, MetadataName.SNAPSHOT, version=timestamp.snapshot_meta.version)
    meta = trusted.update_snapshot(snapshot).meta
    trusted.update_targets(ask(server, device, MetadataName.TARGETS, version=meta["targets.json"].version))
    return trusted


def assignment(trusted: TrustedMetadataSet) -> Assignment:
    return from_plain(Assignment, trusted.targets.unrecognized_fields[ASSIGNMENT_FIELD])


def run(server: SmallServer, device: EnrolledDevice, **running: str) -> None:
    """Let the device have said that it runs these releases."""
    with transaction(server.engine) as session:
        session.execute(update(DeviceRow).where(DeviceRow.id == device.id).values(running=running))


@on_both_databases
def test_the_offered_release_is_named_as_the_model_repository_names_it(server: SmallServer, office: Office) -> None:
    path = release(server, office, a_release())
    device = server.enroll()
    generation = server.offer(device, "digits@1.0.0")

    trusted = refresh(server, device)

    models: Metadata[Targets] = Metadata.from_bytes(document(server, "targets").encode())
    assert trusted.targets.targets == {path: models.signed.targets[path]}
    assert assignment(trusted) == Assignment(tenant=DEFAULT_TENANT, device=device.id, generation=generation)


def test_the_time_answers_the_devices_nonce(server: SmallServer, office: Office) -> None:
    device = server.enroll()

    stated = refresh(server, device).timestamp.unrecognized_fields[TIME_FIELD]

    assert from_plain(TimeAnswer, stated) == TimeAnswer(
        tenant=DEFAULT_TENANT, device=device.id, nonce=NONCE.hex(), at=server.clock.now()
    )


def test_a_device_that_was_offered_nothing_and_runs_nothing_should_run_nothing(
    server: SmallServer, office: Office
) -> None:
    release(server, office, a_release())

    trusted = refresh(server, server.enroll())

    assert (trusted.targets.targets, assignment(trusted).generation) == ({}, 0)


def test_a_second_answer_is_a_new_timestamp_of_the_same_targets(server: SmallServer, office: Office) -> None:
    device = server.enroll()

    first, second = refresh(server, device), refresh(server, device, nonce=bytes(NONCE_BYTES))

    assert second.timestamp.version == first.timestamp.version + 1
    assert (second.snapshot.version, second.targets.version) == (first.snapshot.version, first.targets.version)


def test_an_older_release_is_a_new_generation_and_a_new_version(server: SmallServer, office: Office) -> None:
    release(server, office, a_release())
    release(server, office, a_release(version="2.0.0", counter=2))
    device = server.enroll()
    server.offer(device, "digits@2.0.0")
    forward = refresh(server, device)

    server.offer(device, "digits@1.0.0")
    back = refresh(server, device)

    assert (list(forward.targets.targets), list(back.targets.targets)) == (
        ["digits/2.0.0/raspberry-pi-4.artifact"],
        [PATH],
    )
    assert back.targets.version > forward.targets.version
    assert assignment(back).generation == assignment(forward).generation + 1


def test_what_runs_is_named_beside_what_is_offered_of_another_model(server: SmallServer, office: Office) -> None:
    faces = release(server, office, an_artifact(model="faces"))
    digits = release(server, office, a_release())
    device = server.enroll()
    run(server, device, faces="faces@1.0.0", digits="digits@0.9.0")
    server.offer(device, "digits@1.0.0")

    assert sorted(refresh(server, device).targets.targets) == [digits, faces]


@on_both_databases
def test_a_barred_release_is_never_named(server: SmallServer, office: Office) -> None:
    release(server, office, a_release())
    release(server, office, a_release(version="2.0.0", counter=2))
    device = server.enroll()
    run(server, device, digits="digits@1.0.0")
    server.offer(device, "digits@2.0.0")
    office.unlist("digits/2.0.0/raspberry-pi-4.artifact")
    publish(server, office)

    revoked = list(refresh(server, device).targets.targets)
    office.floor(digits=2)
    publish(server, office)
    below_the_floor = list(refresh(server, device).targets.targets)

    assert (revoked, below_the_floor) == ([PATH], [])


def test_the_artifact_of_another_profile_is_not_named(server: SmallServer, office: Office) -> None:
    release(server, office, a_release())
    device = server.enroll(profile="jetson-nano")
    server.offer(device, "digits@1.0.0")

    assert refresh(server, device).targets.targets == {}


def test_each_device_gets_its_own_files(server: SmallServer, office: Office) -> None:
    release(server, office, a_release())
    first, second = server.enroll(), server.enroll("pi-2")
    server.offer(first, "digits@1.0.0")

    names = [assignment(refresh(server, device)).device for device in (first, second)]
    version = refresh(server, first).targets.version
    server.clock.pass_s(5.0)
    server.offer(second, "digits@1.0.0")
    refresh(server, second)

    assert names == ["pi-1", "pi-2"]
    assert ask(server, second, MetadataName.TARGETS, version=version + 1) == b""


def test_files_past_half_of_their_life_are_signed_anew(server: SmallServer, office: Office) -> None:
    device = server.enroll()
    before = refresh(server, device)

    server.clock.pass_s(timedelta(days=3.5).total_seconds())
    after = refresh(server, device)

    assert after.targets.version > before.targets.version
    assert after.targets.expires == server.clock.now() + timedelta(days=7)
    assert after.timestamp.expires == server.clock.now() + timedelta(days=1)


@on_both_databases
def test_two_replicas_at_once_sign_no_version_twice(server: SmallServer, office: Office) -> None:
    release(server, office, a_release())
    device = server.enroll()
    server.offer(device, "digits@1.0.0")
    replicas = [Director(server.engine, server.clock, server.director_keys) for _ in range(2)]
    nonces = [bytes([place]) * NONCE_BYTES for place in range(16)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda place: replicas[place % 2].timestamp(DEFAULT_TENANT, device.id, nonces[place]), range(16))
        )

    signed = [json.loads(answer)["signed"] for answer in answers]
    assert sorted(stated["version"] for stated in signed) == list(
        range(min(stated["version"] for stated in signed), min(stated["version"] for stated in signed) + 16)
    )
    assert [stated["time"]["nonce"] for stated in signed] == [nonce.hex() for nonce in nonces]
    assert len({json.dumps(stated["meta"]) for stated in signed}) == 1
    with reading(server.engine) as session:
        roles = [row.role for row in session.scalars(select(DirectorFileRow))]
    assert (roles.count(MetadataName.TARGETS), roles.count(MetadataName.SNAPSHOT)) == (1, 1)


def test_a_device_that_asks_too_often_hears_nothing_for_a_while(server: SmallServer, office: Office) -> None:
    device = server.enroll()
    answers = [ask(server, device, MetadataName.TIMESTAMP, nonce=NONCE) for _ in range(11)]

    server.clock.pass_s(1.0)
    later = ask(server, device, MetadataName.TIMESTAMP, nonce=NONCE)

    assert [bool(answer) for answer in answers] == [True] * 10 + [False]
    assert later
    assert server.courier.counts == {"too_many_tries": 1}


@pytest.mark.parametrize(
    "fields",
    [
        MappingProxyType({"name": MetadataName.TIMESTAMP}),
        MappingProxyType({"name": MetadataName.TIMESTAMP, "nonce": bytes(15)}),
        MappingProxyType({"name": MetadataName.TARGETS, "version": -1}),
        MappingProxyType({"name": MetadataName.TARGETS, "version": 2**53}),
    ],
    ids=["no nonce", "a short nonce", "a version below none", "a version beyond all"],
)
def test_a_malformed_request_is_dropped_and_counted(
    server: SmallServer, office: Office, fields: dict[str, object]
) -> None:
    device = server.enroll()

    answer = ask(server, device, **fields)  # type: ignore[arg-type]  # what a test asks

    assert (answer, server.courier.counts) == (b"", {"malformed_request": 1})


def test_without_a_directors_root_there_is_nothing(server: SmallServer) -> None:
    device = server.enroll()

    assert ask(server, device, MetadataName.TIMESTAMP, nonce=NONCE) == b""
    assert ask(server, device, MetadataName.ROOT) == b""


def test_for_a_device_that_nobody_knows_nothing_is_signed(server: SmallServer, office: Office) -> None:
    director = Director(server.engine, server.clock, server.director_keys)

    assert director.timestamp(DEFAULT_TENANT, DeviceId("nobody"), NONCE) == b""
    assert director.timestamp(TenantId("other"), DeviceId("nobody"), NONCE) == b""


def test_for_a_revoked_device_nothing_is_signed(server: SmallServer, office: Office) -> None:
    device = server.enroll()
    with transaction(server.engine) as session:
        session.execute(update(DeviceRow).values(revoked_at=server.clock.now()))

    assert ask(server, device, MetadataName.TIMESTAMP, nonce=NONCE) == b""


@on_both_databases
def test_a_new_directors_key_signs_everything_anew_once_the_root_names_it(server: SmallServer, office: Office) -> None:
    device, data_dir = server.enroll(), server.config.data_dir
    before = refresh(server, device)
    office.name_server_key(DIRECTOR, add_key(data_dir, KeyName.DIRECTOR)[0].public)

    submitted = submit(server, targets=office.sign(), director_roots=[office.next_root(DIRECTOR)])
    after = refresh(server, device)

    assert submitted.status_code == 200, submitted.text
    assert after.root.version == 2
    assert after.targets.version > before.targets.version


def test_a_restored_database_goes_on_above_all_that_was_signed(server: SmallServer, office: Office) -> None:
    device = server.enroll()
    lost = refresh(server, device)
    with transaction(server.engine) as session:
        for row in session.scalars(select(DirectorFileRow)):
            session.delete(row)

    server.clock.pass_s(60.0)
    found = refresh(server, device)

    assert found.timestamp.version > lost.timestamp.version
    assert found.targets.version > lost.targets.version


def test_few_versions_are_kept(server: SmallServer, office: Office) -> None:
    device = server.enroll()

    answers = [ask(server, device, MetadataName.TIMESTAMP, nonce=NONCE) for _ in range(6)]

    with reading(server.engine) as session:
        query = select(DirectorFileRow.version).where(DirectorFileRow.role == MetadataName.TIMESTAMP)
        assert (len(answers), len(session.scalars(query).all())) == (6, 4)


def test_the_same_device_of_another_tenant_gets_nothing(server: SmallServer, office: Office) -> None:
    device = server.enroll()
    refresh(server, device)
    topic = DeviceTopic(tenant=TenantId("other"), device=device.id, channel=Channel.META_REQUEST)
    request = MetadataRequest(name=MetadataName.TARGETS, request=1, repository=RepositoryName.DIRECTOR)

    (answer,) = server.answers.parts(topic, request)

    assert (answer.parts, answer.data) == (0, b"")
    assert document(server, DIRECTOR_ROOT)
