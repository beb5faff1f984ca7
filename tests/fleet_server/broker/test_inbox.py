"""Reports: counted once, committed before they are acknowledged, and dropped when they are not the device's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contracts.codec import decode, encode
from contracts.envelope import Envelope, ReportAck, ReportKind
from contracts.health import Heartbeat
from contracts.ids import BootId, ModelName, ProfileName, ReleaseId
from contracts.topics import Channel
from fleet_server.broker.inbox import QUEUE_LIMIT
from fleet_server.readmodel import DeviceStatus
from tests.fakes.clock import START
from tests.fleet_server.server import EnrolledDevice, SmallServer, read_only


def a_heartbeat(*, requests: int = 1, release: str = "digits@1.0.0") -> Heartbeat:
    return Heartbeat(
        profile=ProfileName("raspberry-pi-4"),
        agent_version="0.1.0",
        running={ModelName("digits"): ReleaseId(release)},
        at=START,
        uptime_s=1.0,
        memory_bytes=50_000_000,
        requests=requests,
        errors=0,
        latency_p50_ms=1.0,
        latency_p95_ms=2.0,
        generation=0,
    )


def beat(device: EnrolledDevice, sequence: int, *, requests: int = 1, boot: str = "boot-1") -> bytes:
    return device.seal(sequence, ReportKind.HEARTBEAT, a_heartbeat(requests=requests), boot=BootId(boot))


def take(server: SmallServer, device: EnrolledDevice, *bodies: bytes) -> None:
    server.inbox.take([(device.topic(), body) for body in bodies])


def acks(server: SmallServer) -> Sequence[int]:
    return [decode(ReportAck, body).sequence for body in server.publisher.bodies(Channel.ACK)]


def requests_of(server: SmallServer) -> int:
    return int(server.api.get("/api/v1/devices/pi-1").json()["requests"])


def test_a_signed_heartbeat_is_written_down_and_acknowledged(small_server: SmallServer) -> None:
    device = small_server.enroll()

    take(small_server, device, beat(device, 1, requests=7))

    view = small_server.api.get("/api/v1/devices/pi-1").json()
    assert (view["requests"], view["status"], view["running"]) == (7, DeviceStatus.ONLINE, {"digits": "digits@1.0.0"})
    assert acks(small_server) == [1]


def test_a_device_that_is_silent_is_offline(small_server: SmallServer) -> None:
    device = small_server.enroll()
    take(small_server, device, beat(device, 1))

    small_server.clock.pass_s(91)

    assert small_server.api.get("/api/v1/devices", params={"status": "offline"}).json()[0]["id"] == "pi-1"
    assert small_server.api.get("/api/v1/groups").json() == [{"name": "lab", "devices": 1, "online": 0}]


@pytest.mark.parametrize("place", [0, 10, -1])
def test_a_tampered_envelope_is_dropped_counted_and_not_acknowledged(small_server: SmallServer, place: int) -> None:
    device = small_server.enroll()
    envelope = decode(Envelope, beat(device, 1))
    body = bytearray(envelope.body)
    body[place] ^= 1
    tampered = Envelope(
        boot=envelope.boot,
        sequence=envelope.sequence,
        kind=envelope.kind,
        body=bytes(body),
        signature=envelope.signature,
    )

    take(small_server, device, encode(tampered))

    assert small_server.inbox.counts == {"signature": 1}
    assert acks(small_server) == []
    assert small_server.api.get("/api/v1/devices/pi-1").json()["status"] == "enrolled"


def test_a_report_under_another_devices_name_is_dropped(small_server: SmallServer) -> None:
    honest, liar = small_server.enroll("pi-1"), small_server.enroll("pi-2")

    take(small_server, honest, beat(liar, 1))

    assert small_server.inbox.counts == {"signature": 1}


def test_what_is_no_envelope_is_dropped_and_the_rest_of_the_batch_is_not(small_server: SmallServer) -> None:
    device = small_server.enroll()

    take(small_server, device, b"\xff\xff", beat(device, 1), b"")

    assert small_server.inbox.counts == {"decode": 2, "committed": 1}
    assert acks(small_server) == [1]


def test_a_report_of_nobody_is_dropped(small_server: SmallServer) -> None:
    device = EnrolledDevice(id=small_server.enroll("pi-1").id, key=small_server.enroll("pi-2").key)
    stranger = EnrolledDevice(id=type(device.id)("pi-9"), key=device.key)

    take(small_server, stranger, beat(stranger, 1))

    assert small_server.inbox.counts == {"unknown_device": 1}


def test_the_same_report_again_changes_nothing_and_is_acknowledged_again(small_server: SmallServer) -> None:
    device = small_server.enroll()
    first, second = beat(device, 1, requests=1), beat(device, 2, requests=2)

    take(small_server, device, first, second)
    take(small_server, device, first, first)

    assert requests_of(small_server) == 2
    assert small_server.inbox.counts == {"committed": 2, "duplicate": 2}
    assert acks(small_server) == [2, 2]


def test_an_older_heartbeat_that_comes_late_does_not_undo_a_newer_one(small_server: SmallServer) -> None:
    device = small_server.enroll()

    take(small_server, device, beat(device, 2, requests=2))
    take(small_server, device, beat(device, 1, requests=1))

    assert requests_of(small_server) == 2
    assert small_server.inbox.counts == {"committed": 1, "outdated": 1}


def test_nothing_past_a_gap_is_acknowledged_until_the_gap_is_filled(small_server: SmallServer) -> None:
    device = small_server.enroll()

    take(small_server, device, beat(device, 1), beat(device, 3))
    take(small_server, device, beat(device, 2))

    assert acks(small_server) == [1, 3]


def test_boots_are_numbered_apart(small_server: SmallServer) -> None:
    device = small_server.enroll()

    take(small_server, device, beat(device, 1), beat(device, 2))
    take(small_server, device, beat(device, 1, boot="boot-2"))

    assert small_server.inbox.counts == {"committed": 3}
    assert acks(small_server) == [2, 1]


def test_no_acknowledgement_leaves_before_the_commit(small_server: SmallServer) -> None:
    device = small_server.enroll()
    body = beat(device, 1, requests=7)
    committed: list[int] = []
    publish = small_server.publisher.publish

    class Witness:
        connected = True
        connections = 1

        def publish(self, topic: str, body: bytes, *, retain: bool = False) -> object:
            committed.append(requests_of(small_server))
            return publish(topic, body, retain=retain)

    small_server.inbox._publisher = Witness()  # type: ignore[assignment]
    take(small_server, device, body)

    assert committed == [7]


def test_reports_stay_unacknowledged_while_the_database_takes_no_writes(small_server: SmallServer) -> None:
    device = small_server.enroll()
    body = beat(device, 1)

    with read_only(small_server.engine):
        take(small_server, device, body)

    assert small_server.inbox.counts == {"database": 1}
    assert acks(small_server) == []


def test_a_report_that_cannot_be_applied_is_acknowledged_so_that_it_is_not_sent_for_ever(
    small_server: SmallServer,
) -> None:
    device = small_server.enroll()

    take(small_server, device, device.seal(1, ReportKind.HEARTBEAT, a_heartbeat(release="nonsense")), beat(device, 2))

    assert small_server.inbox.counts == {"not_applied": 1, "committed": 1}
    assert acks(small_server) == [2]


def test_a_full_queue_drops_without_acknowledging(small_server: SmallServer) -> None:
    device = small_server.enroll()
    body = beat(device, 1)

    for _ in range(QUEUE_LIMIT + 1):  # until one does not fit
        small_server.inbox.receive(device.topic(), body)

    assert small_server.inbox.counts == {"overloaded": 1}
