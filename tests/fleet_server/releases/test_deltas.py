"""Deltas are made when a device asks, for devices that may have their target, and kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from contracts.chunks import NOT_ASSIGNED, ChunkAnswer, ChunkIndex, ChunkRequest
from contracts.codec import decode, encode
from contracts.delta import DeltaNews, DeltaState, apply
from contracts.ids import DEFAULT_TENANT, GroupName, ReleaseId, digest_of
from contracts.metadata import MetadataAnswer, MetadataName, MetadataRequest
from contracts.topics import Channel
from fleet_server.database.session import reading, transaction
from fleet_server.devices.store import find_device
from fleet_server.devices.transfers import list_transfers
from fleet_server.releases.deltas import Deltas
from fleet_server.rollouts.spec import RolloutSpec
from fleet_server.rollouts.store import create_rollout
from tests.builders import TinyModel, a_tiny_tflite_artifact
from tests.fleet_server.server import Desk, EnrolledDevice, SmallServer, a_release

PROFILE = "raspberry-pi-4"


def an_artifact(version: str, counter: int, *, model: str = "digits") -> bytes:
    """Return an artifact whose versions differ in little."""
    return a_tiny_tflite_artifact(TinyModel(hidden=200), version=version, counter=counter, profile=PROFILE, model=model)


BASE, TARGET = an_artifact("1.0.0", 1), an_artifact("1.1.0", 2)


@pytest.fixture
def desk(small_server: SmallServer, tmp_path: Path) -> Desk:
    return small_server.desk(tmp_path / "desk")


@pytest.fixture
def device(small_server: SmallServer, desk: Desk) -> EnrolledDevice:
    """A device that was offered the target; both artifacts are published."""
    small_server.publish(desk, BASE, TARGET)
    found = small_server.enroll("pi-1")
    small_server.offer(found, "digits@1.1.0")
    return found


def news(server: SmallServer, device: EnrolledDevice, *, base: bytes = BASE, target: bytes = TARGET) -> DeltaNews:
    """Ask as a device does and return what it hears."""
    request = MetadataRequest(name=MetadataName.DELTA, request=1, digest=digest_of(target), base=digest_of(base))
    server.courier.answer(device.topic(Channel.META_REQUEST), encode(request))
    return decode(DeltaNews, decode(MetadataAnswer, server.publisher.bodies(Channel.META)[-1]).data)


def made(deltas: Deltas, *, waits_s: float = 30.0) -> None:
    """Let everything that waits be made."""
    stop = threading.Event()
    worker = threading.Thread(target=deltas.run, args=(stop,))
    worker.start()
    deltas.wait_idle(waits_s)
    stop.set()
    worker.join()


def chunks(server: SmallServer, device: EnrolledDevice, told: DeltaNews) -> list[ChunkAnswer]:
    before = len(server.publisher.bodies(Channel.CHUNK))
    request = ChunkRequest(index=told.index, first=0, missing=b"\xff", credit=8)  # type: ignore[arg-type] # as told
    server.courier.answer(device.topic(Channel.CHUNK_REQUEST), encode(request))
    server.sending.send_waiting()
    return [decode(ChunkAnswer, body) for body in server.publisher.bodies(Channel.CHUNK)[before:]]


def test_the_first_to_ask_hears_later(small_server: SmallServer, device: EnrolledDevice) -> None:
    assert news(small_server, device).state is DeltaState.LATER


@pytest.mark.slow
def test_a_delta_is_made_once_and_its_chunks_lead_to_the_target(
    small_server: SmallServer, device: EnrolledDevice
) -> None:
    news(small_server, device)
    made(small_server.deltas)

    told = news(small_server, device)
    sent = chunks(small_server, device, told)

    assert told.state is DeltaState.READY
    delta = b"".join(answer.data for answer in sent)
    assert len(delta) == told.length < 0.7 * len(TARGET)
    assert apply(BASE, delta, length=len(TARGET), digest=digest_of(TARGET)) == TARGET


@pytest.mark.slow
def test_the_deltas_index_is_had_like_any_other(small_server: SmallServer, device: EnrolledDevice) -> None:
    news(small_server, device)
    made(small_server.deltas)
    told = news(small_server, device)
    request = MetadataRequest(name=MetadataName.INDEX, request=2, digest=told.index)

    small_server.courier.answer(device.topic(Channel.META_REQUEST), encode(request))

    body = decode(MetadataAnswer, small_server.publisher.bodies(Channel.META)[-1]).data
    assert digest_of(body) == told.index
    assert sum(decode(ChunkIndex, body).lengths) == told.length


@pytest.mark.slow
def test_a_delta_is_for_those_alone_who_were_offered_its_target(
    small_server: SmallServer, device: EnrolledDevice
) -> None:
    news(small_server, device)
    made(small_server.deltas)
    told = news(small_server, device)
    other = small_server.enroll("pi-2")

    answers = chunks(small_server, other, told)

    assert [answer.refusal for answer in answers] == [NOT_ASSIGNED]
    assert news(small_server, other).state is DeltaState.NONE


@pytest.mark.slow
def test_a_delta_that_does_not_pay_is_not_kept_and_not_made_again(
    small_server: SmallServer, desk: Desk, tmp_path: Path
) -> None:
    base, target = a_release(version="1.0.0"), a_release(version="2.0.0", counter=2)
    small_server.publish(desk, base, target)
    device = small_server.enroll("pi-1")
    small_server.offer(device, "digits@2.0.0")
    news(small_server, device, base=base, target=target)
    made(small_server.deltas)

    told = news(small_server, device, base=base, target=target)

    assert told.state is DeltaState.NONE
    assert small_server.deltas.waiting == 0


def test_a_base_that_was_never_published_has_no_delta(small_server: SmallServer, device: EnrolledDevice) -> None:
    told = news(small_server, device, base=b"made up by the device")

    assert told.state is DeltaState.NONE
    assert small_server.deltas.waiting == 0


def test_a_device_that_asks_often_waits_in_line_once(small_server: SmallServer, device: EnrolledDevice) -> None:
    told = [news(small_server, device).state for _ in range(3)]

    assert told == [DeltaState.LATER] * 3
    assert small_server.deltas.waiting == 1


def a_rollout(server: SmallServer, release: str) -> None:
    """Begin a rollout of the release to the group that devices of these tests are in."""
    with transaction(server.engine) as session:
        spec = RolloutSpec(release=ReleaseId(release), group=GroupName("lab"))
        create_rollout(session, DEFAULT_TENANT, spec, created_by="ada", now=server.clock.now())


def runs(server: SmallServer, device: EnrolledDevice, release: str) -> None:
    """Let the device have said that it runs the release."""
    with transaction(server.engine) as session:
        find_device(session, DEFAULT_TENANT, device.id).running = {"digits": release}


def test_a_rollout_lets_the_deltas_be_made_that_its_devices_will_ask_for(
    small_server: SmallServer, device: EnrolledDevice
) -> None:
    runs(small_server, device, "digits@1.0.0")
    a_rollout(small_server, "digits@1.1.0")

    small_server.deltas.foresee()
    small_server.deltas.foresee()

    assert small_server.deltas.waiting == 1


def test_a_rollout_to_devices_that_run_nothing_needs_no_delta(
    small_server: SmallServer, device: EnrolledDevice
) -> None:
    a_rollout(small_server, "digits@1.1.0")

    small_server.deltas.foresee()

    assert small_server.deltas.waiting == 0


@pytest.mark.slow
def test_what_a_delta_saved_is_told_of_its_transfer(small_server: SmallServer, device: EnrolledDevice) -> None:
    news(small_server, device)
    made(small_server.deltas)
    told = news(small_server, device)
    chunks(small_server, device, told)
    small_server.courier.tally()

    with reading(small_server.engine) as session:
        (transfer,) = list_transfers(session, DEFAULT_TENANT, device.id)

    assert (transfer.by_delta, transfer.saved_bytes) == (True, len(TARGET) - told.length)


@pytest.mark.slow
@pytest.mark.slow
def test_a_fault_that_passes_is_not_remembered(small_server: SmallServer, device: EnrolledDevice) -> None:
    deltas = Deltas(small_server.engine, small_server.vault, small_server.clock)
    asked = {"base": digest_of(BASE), "target": digest_of(TARGET)}
    chunks = small_server.config.data_dir / "vault" / "chunks"
    chunks.rename(chunks.with_name("away"))
    deltas.news(DEFAULT_TENANT, device.id, **asked)
    made(deltas)

    chunks.with_name("away").rename(chunks)
    deltas.news(DEFAULT_TENANT, device.id, **asked)
    made(deltas)

    assert deltas.news(DEFAULT_TENANT, device.id, **asked).state is DeltaState.READY


def test_a_delta_that_takes_too_long_is_given_up(small_server: SmallServer, device: EnrolledDevice) -> None:
    hasty = Deltas(small_server.engine, small_server.vault, small_server.clock, time_limit_s=-1.0)
    asked = {"base": digest_of(BASE), "target": digest_of(TARGET)}
    hasty.news(DEFAULT_TENANT, device.id, **asked)
    made(hasty)

    assert hasty.news(DEFAULT_TENANT, device.id, **asked).state is DeltaState.NONE
