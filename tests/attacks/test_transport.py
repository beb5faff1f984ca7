"""Attacks on the way that bytes take: 25 to 28 and 31 of the design's list, and chunks of others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.chunks import MAX_CHUNK_BYTES, ChunkAnswer, ChunkIndex, ChunkRequest, bitmap, cut
from contracts.codec import decode, encode
from contracts.ids import Digest, TenantId, digest_of
from contracts.topics import Channel
from contracts.update import UpdateState
from edge_agent.disk import SystemDisk
from edge_agent.update.worker import LETTERS_LIMIT_BYTES
from fleet_server.database.session import transaction
from fleet_server.database.tables import DeviceGroupRow, DeviceRow, TenantRow
from fleet_server.identity.current_device import KnownDevice, current_device
from tests.attacks.trusting import assert_refused, assert_untouched
from tests.fakes.courier import Answers, FakeCourier
from tests.fakes.device import MODEL, FakeDevice, an_artifact
from tests.fakes.repository import SignedRepository
from tests.fleet_server.server import EnrolledDevice, SmallServer, a_release

DIGITS_2 = an_artifact(version="2", counter=2)
SLOW_S = 61.0
OTHER = TenantId("other")


class Meddler(FakeCourier):
    """Lets a test rewrite each chunk's answer: none, other or many messages in its place."""

    def __init__(self, repository: SignedRepository, meddle: Callable[[ChunkAnswer], list[bytes]]) -> None:
        super().__init__(repository)
        self._meddle = meddle

    def answers(self, channel: Channel, data: bytes) -> Answers:
        for where, answer in super().answers(channel, data):
            genuine = decode(ChunkAnswer, answer) if where is Channel.CHUNK else None
            for message in self._meddle(genuine) if genuine else [answer]:
                yield where, message


class Shelf:
    """Implements ``ChunkLine``: every chunk of a repository, by digest."""

    def __init__(self, repository: SignedRepository) -> None:
        self.asked = 0
        self._chunks = {digest_of(chunk): chunk for chunks in repository.chunks.values() for chunk in chunks}

    def get(self, digest: Digest, length: int) -> bytes | None:
        self.asked += 1
        return self._chunks[digest][:length]


def test_attack_25_a_chunk_of_the_right_length_and_wrong_bytes(
    device: FakeDevice, repository: SignedRepository
) -> None:
    index = repository.publish(DIGITS_2)
    device.courier.corrupt[1] = bytes(index.lengths[1])

    device.offer("digits@2")

    assert_refused(device, "chunk_mismatch")


def test_attack_26_messages_without_end(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    junk = encode(ChunkAnswer(index=digest_of(b""), place=0, data=bytes(MAX_CHUNK_BYTES)))
    waiting_bytes: list[int] = []

    def flood(answer: ChunkAnswer) -> list[bytes]:
        waiting_bytes.append(device.mailroom.waiting_bytes)
        return [encode(answer), *[junk] * 40]

    device.courier = Meddler(repository, flood)

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert 0 < max(waiting_bytes) <= LETTERS_LIMIT_BYTES
    assert device.mailroom.waiting_bytes == 0


@pytest.mark.parametrize("place", [-1, 10**6, 2**62])
def test_attack_26_a_place_that_the_artifact_has_not(
    place: int, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    device.courier = Meddler(
        repository, lambda answer: [encode(dataclasses.replace(answer, place=place)), encode(answer)]
    )

    device.offer("digits@2")

    assert device.running == "digits@2"
    good = device.slots.pointer(MODEL).good
    assert good is not None
    assert device.slots.read(MODEL, good) == DIGITS_2


def test_attack_26_the_same_chunk_again_and_again(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    shelf = _with_line(device, repository)
    first: list[bytes] = []

    def repeat(answer: ChunkAnswer) -> list[bytes]:
        first.append(encode(answer))
        return first[:1] * 5

    device.courier = Meddler(repository, repeat)

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert shelf.asked > 0


@pytest.mark.parametrize("length", [MAX_CHUNK_BYTES + 1, 2**40])
def test_attack_26_an_index_that_claims_huge_chunks(
    length: int, device: FakeDevice, repository: SignedRepository
) -> None:
    index = repository.publish(DIGITS_2)
    genuine = encode(index)
    head = genuine.index(b"lengths") + len(b"lengths") + 1
    forged = genuine[:head] + b"\x1b" + length.to_bytes(8, "big") + genuine[head + 9 :]
    repository.indexes = dict.fromkeys(repository.indexes, forged)

    device.offer("digits@2")

    assert "arrived" in device.last.detail
    assert_refused(device, "index_mismatch")


def test_attack_27_a_broker_that_gives_nothing(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    shelf = _with_line(device, repository)
    device.courier.silent_after = 1

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert shelf.asked > 0
    assert "slow_delivery" in {report.code for report in device.reports if report.state is UpdateState.DOWNLOADING}


def test_attack_27_a_broker_that_drips(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    shelf = _with_line(device, repository)
    courier = device.courier
    courier.silent_after = 0
    _drip(device, courier)

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert shelf.asked > 0
    assert "slow_delivery" in {report.code for report in device.reports}
    assert device.clock.monotonic_s() < 10 * SLOW_S


def test_attack_28_a_chunk_of_another_artifact(device: FakeDevice, repository: SignedRepository) -> None:
    other = repository.publish(an_artifact(version="3", counter=3))
    chunks = repository.chunks[digest_of(encode(other))]
    repository.publish(DIGITS_2)
    device.courier = Meddler(
        repository,
        lambda answer: [encode(dataclasses.replace(answer, data=chunks[answer.place % len(chunks)]))],
    )

    device.offer("digits@2")

    assert_refused(device, "chunk_mismatch")


def test_attack_28_an_answer_about_another_artifact(device: FakeDevice, repository: SignedRepository) -> None:
    other = digest_of(encode(repository.publish(an_artifact(version="3", counter=3))))
    repository.publish(DIGITS_2)
    device.courier = Meddler(
        repository, lambda answer: [encode(dataclasses.replace(answer, index=other, data=b"x"))] * 3 + [encode(answer)]
    )

    device.offer("digits@2")

    assert device.running == "digits@2"


class SwappingDisk(SystemDisk):
    """Puts another file where one was just verified."""

    def __init__(self, swap_at: str, forged: bytes) -> None:
        self._swap_at = swap_at
        self._forged = forged
        self.swapped: list[Path] = []

    def move(self, source: Path, target: Path) -> None:
        if self._swap_at == "before the move":
            self._swap(source)
        super().move(source, target)
        if self._swap_at == "after the move":
            self._swap(target)

    def write(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        super().write(path, data, mode=mode)
        artifact = path.with_name("b.artifact")
        if self._swap_at == "before the load" and path.name == "pointer.cbor" and b"trial\x61b" in data:
            self._swap(artifact)

    def _swap(self, path: Path) -> None:
        forged = path.with_name("forged")
        forged.write_bytes(self._forged)
        forged.replace(path)
        self.swapped.append(path)


@pytest.mark.parametrize(
    ("swap_at", "state"),
    [
        ("before the move", UpdateState.REFUSED),
        ("after the move", UpdateState.REFUSED),
        ("before the load", UpdateState.ROLLED_BACK),
    ],
)
def test_attack_31_a_file_replaced_after_it_was_verified(
    swap_at: str, state: UpdateState, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    disk = SwappingDisk(swap_at, an_artifact(version="2", counter=2, model_bytes=20_001))
    device.disk = disk
    device.restart()

    device.offer("digits@2")

    assert disk.swapped
    assert (device.last.state, device.last.code) == (state, "artifact_mismatch"), device.last.detail
    assert "digits@2" not in device.serving.served
    assert_untouched(device)


def test_attack_another_tenants_chunk_by_its_digest(small_server: SmallServer, tmp_path: Path) -> None:
    data = a_release()
    small_server.publish(small_server.desk(tmp_path / "desk"), data)
    theirs = small_server.enroll()
    small_server.offer(theirs, "digits@1.0.0")
    _clone_into_another_tenant(small_server, theirs)
    small_server.devices_app.dependency_overrides[current_device] = lambda: KnownDevice(tenant=OTHER, device=theirs.id)

    answers = [small_server.devices_api.get(f"/api/v1/device/chunks/{digest}") for digest in _digests(cut(data))]
    nowhere = small_server.devices_api.get(f"/api/v1/device/chunks/{digest_of(b'nowhere')}")

    assert {answer.status_code for answer in (*answers, nowhere)} == {404}
    assert {answer.json()["error"]["code"] for answer in (*answers, nowhere)} == {"not_found"}
    assert _refusal_over_mqtt(
        small_server, dataclasses.replace(theirs.topic(Channel.CHUNK_REQUEST), tenant=OTHER), data
    )


def test_attack_a_chunk_of_a_release_that_was_not_assigned(small_server: SmallServer, tmp_path: Path) -> None:
    mine, others = a_release(), a_release(version="2.0.0", counter=2)
    small_server.publish(small_server.desk(tmp_path / "desk"), mine, others)
    device = small_server.enroll()
    small_server.offer(device, "digits@1.0.0")
    api = small_server.api_of(device)

    own = api.get(f"/api/v1/device/chunks/{_digests(cut(mine))[0]}")
    unassigned = set(_digests(cut(others))) - set(_digests(cut(mine)))
    answers = {api.get(f"/api/v1/device/chunks/{digest}").status_code for digest in unassigned}

    assert (own.status_code, answers) == (200, {404})
    assert _refusal_over_mqtt(small_server, device.topic(Channel.CHUNK_REQUEST), others)


def _with_line(device: FakeDevice, repository: SignedRepository) -> Shelf:
    shelf = Shelf(repository)
    device.line = shelf
    device.restart()
    return shelf


def _drip(device: FakeDevice, courier: FakeCourier) -> None:
    """Let one more chunk through each minute."""
    courier.silent_after = sum(courier.sent.values()) + 1
    device.clock.on_pass(SLOW_S, lambda: _drip(device, courier))


def _digests(index: ChunkIndex) -> list[Digest]:
    return [Digest(digest.hex()) for digest in index.digests]


def _refusal_over_mqtt(server: SmallServer, topic: object, data: bytes) -> bool:
    index = cut(data)
    request = ChunkRequest(index=digest_of(encode(index)), first=0, missing=bitmap({0, 1}, 0), credit=2)
    server.courier.answer(topic, encode(request))  # type: ignore[arg-type]  # a DeviceTopic of any tenant
    server.sending.send_waiting()
    answers = [decode(ChunkAnswer, body) for body in server.publisher.bodies(Channel.CHUNK)]
    return [answer.refusal for answer in answers] == ["not_assigned"]


def _clone_into_another_tenant(server: SmallServer, device: EnrolledDevice) -> None:
    """Make a device of that name in another tenant, offered a release of that name, which only this tenant has."""
    with transaction(server.engine) as session:
        row = session.get(DeviceRow, (TenantId("default"), device.id))
        assert row is not None
        session.add(TenantRow(id=OTHER, created_at=row.enrolled_at))
        session.flush()
        session.add(DeviceGroupRow(tenant=OTHER, name=row.group_name, created_at=row.enrolled_at))
        session.flush()
        values = {column.name: getattr(row, column.name) for column in DeviceRow.__table__.columns}
        session.add(DeviceRow(**{**values, "tenant": OTHER}))
