"""Reports: counted once, committed before they are acknowledged, and dropped when they are not the device's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from contracts.codec import decode, encode
from contracts.envelope import Envelope, ReportAck, ReportKind
from contracts.health import Heartbeat
from contracts.ids import DEFAULT_TENANT, BootId, ModelName, ProfileName, ReleaseId, RolloutId
from contracts.topics import Channel
from contracts.update import UpdateReport, UpdateState
from fleet_server.broker.store import BOOTS_KEPT
from fleet_server.broker.waiting import DEVICE_LIMIT
from fleet_server.database.session import reading, transaction
from fleet_server.database.tables import DeviceRow, InboundRow
from fleet_server.readmodel import DeviceStatus
from tests.fakes.clock import START
from tests.fleet_server.server import EnrolledDevice, SmallServer, read_only


def a_heartbeat(*, requests: int = 1, release: str = "digits@1.0.0", at: datetime = START) -> Heartbeat:
    return Heartbeat(
        profile=ProfileName("raspberry-pi-4"),
        agent_version="0.1.0",
        running={ModelName("digits"): ReleaseId(release)},
        at=at,
        uptime_s=1.0,
        memory_bytes=50_000_000,
        requests=requests,
        errors=0,
        latency_p50_ms=1.0,
        latency_p95_ms=2.0,
        generation=0,
    )


def beat(
    device: EnrolledDevice, sequence: int, *, requests: int = 1, boot: str = "boot-1", at: datetime = START
) -> bytes:
    return device.seal(sequence, ReportKind.HEARTBEAT, a_heartbeat(requests=requests, at=at), boot=BootId(boot))


def an_update_report(*, running: str) -> UpdateReport:
    return UpdateReport(
        rollout=RolloutId("rollout-1"),
        generation=1,
        attempt=1,
        release=ReleaseId("digits@2.0.0"),
        state=UpdateState.DOWNLOADING,
        running=running,
        at=START,
        code="",
        detail="",
        chunks_done=0,
        chunks_total=0,
    )


def take(server: SmallServer, device: EnrolledDevice, *bodies: bytes) -> None:
    server.inbox.take([(device.topic(), body) for body in bodies])


def acks(server: SmallServer) -> Sequence[int]:
    return [decode(ReportAck, body).sequence for body in server.publisher.bodies(Channel.ACK)]


def spoil(server: SmallServer, device: EnrolledDevice, **values: object) -> None:
    """Let the device's row hold what no code of ours expects there."""
    with transaction(server.engine) as session:
        session.execute(update(DeviceRow).where(DeviceRow.id == device.id).values(**values))


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


@pytest.mark.parametrize(("sequence", "runs"), [(1, "digits@2.0.0"), (3, "digits@1.0.0")])
def test_what_runs_is_the_word_of_the_newest_report(small_server: SmallServer, sequence: int, runs: str) -> None:
    device = small_server.enroll()
    heartbeat = device.seal(2, ReportKind.HEARTBEAT, a_heartbeat(release="digits@2.0.0"))
    report = device.seal(sequence, ReportKind.UPDATE, an_update_report(running="digits@1.0.0"))

    take(small_server, device, heartbeat)
    take(small_server, device, report)

    assert small_server.api.get("/api/v1/devices/pi-1").json()["running"] == {"digits": runs}
    assert small_server.inbox.counts == {"committed": 2}


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

    for _ in range(DEVICE_LIMIT + 1):  # until one does not fit
        small_server.inbox.receive(device.topic(), body)

    assert small_server.inbox.counts == {"overloaded": 1}


def test_a_message_that_trips_over_a_bug_before_it_is_verified_costs_no_other_message(
    small_server: SmallServer, caplog: pytest.LogCaptureFixture
) -> None:
    honest, cursed = small_server.enroll("pi-1"), small_server.enroll("pi-2")
    spoil(small_server, cursed, public_key="no key")

    small_server.inbox.take([(cursed.topic(), beat(cursed, 1)), (honest.topic(), beat(honest, 1, requests=7))])

    assert small_server.inbox.counts == {"failed": 1, "committed": 1}
    assert requests_of(small_server) == 7
    assert [record.exc_info for record in caplog.records if record.message == "report failed unread"] == [None]


def test_a_report_that_trips_over_a_bug_is_undone_counted_and_acknowledged(small_server: SmallServer) -> None:
    honest, cursed = small_server.enroll("pi-1"), small_server.enroll("pi-2")
    spoil(small_server, cursed, running=["no", "map"])
    report = cursed.seal(1, ReportKind.UPDATE, an_update_report(running="digits@1.0.0"))

    small_server.inbox.take([(cursed.topic(), report), (honest.topic(), beat(honest, 1, requests=7))])

    assert small_server.inbox.counts == {"failed": 1, "committed": 1}
    assert acks(small_server) == [1, 1]
    with reading(small_server.engine) as session:
        assert session.get_one(DeviceRow, (DEFAULT_TENANT, cursed.id)).last_seen_at is None


def test_nothing_but_the_signature_is_looked_at_in_a_forged_envelope(small_server: SmallServer) -> None:
    device = small_server.enroll()
    forged = Envelope(
        boot=BootId("no boot"), sequence=-1, kind=ReportKind.UPDATE, body=b"nonsense", signature=b"x" * 64
    )

    take(small_server, device, encode(forged))

    assert small_server.inbox.counts == {"signature": 1}


def test_a_withheld_heartbeat_of_an_older_boot_brings_no_device_back(small_server: SmallServer) -> None:
    device = small_server.enroll()
    take(small_server, device, beat(device, 1, boot="boot-a"))
    withheld = beat(device, 2, boot="boot-a", requests=7)
    small_server.clock.pass_s(10)
    take(small_server, device, beat(device, 1, boot="boot-b", requests=1))

    small_server.clock.pass_s(600)
    take(small_server, device, withheld)

    view = small_server.api.get("/api/v1/devices/pi-1").json()
    assert (view["status"], view["requests"], view["boot"]) == (DeviceStatus.OFFLINE, 1, "boot-b")
    assert small_server.inbox.counts == {"committed": 2, "outdated": 1}
    assert acks(small_server)[-1] == 2


def test_a_withheld_heartbeat_of_a_boot_never_heard_of_counts_by_when_it_was_made(small_server: SmallServer) -> None:
    device = small_server.enroll()
    withheld = beat(device, 1, boot="boot-a", at=START - timedelta(seconds=1))
    take(small_server, device, beat(device, 1, boot="boot-b"))

    small_server.clock.pass_s(600)
    take(small_server, device, withheld)

    assert small_server.api.get("/api/v1/devices/pi-1").json()["status"] == DeviceStatus.OFFLINE


def test_a_device_whose_clock_was_ahead_is_heard_after_it_restarts_with_the_right_time(
    small_server: SmallServer,
) -> None:
    device = small_server.enroll()
    take(small_server, device, beat(device, 1, boot="boot-a", at=START + timedelta(days=9000)))

    small_server.clock.pass_s(600)
    take(small_server, device, beat(device, 1, boot="boot-b", at=small_server.clock.now()))

    assert small_server.api.get("/api/v1/devices/pi-1").json()["status"] == DeviceStatus.ONLINE


def test_an_update_report_of_an_older_boot_says_nothing_of_what_runs_now(small_server: SmallServer) -> None:
    device = small_server.enroll()
    take(small_server, device, beat(device, 1, boot="boot-a"))
    late = device.seal(2, ReportKind.UPDATE, an_update_report(running="digits@9.0.0"), boot=BootId("boot-a"))
    small_server.clock.pass_s(10)

    take(small_server, device, beat(device, 1, boot="boot-b"), late)

    assert small_server.api.get("/api/v1/devices/pi-1").json()["running"] == {"digits": "digits@1.0.0"}


def test_the_newest_boots_are_kept_and_the_one_that_speaks_among_them(small_server: SmallServer) -> None:
    device = small_server.enroll()
    take(small_server, device, beat(device, 1, boot="boot-0", at=START + timedelta(days=1)))
    speaks = beat(device, 2, boot="boot-0", at=START + timedelta(days=1))

    for number in range(1, 20):  # withheld until now, all of them
        small_server.clock.pass_s(1)
        take(small_server, device, beat(device, 1, boot=f"boot-{number}", at=START - timedelta(days=1)))
    take(small_server, device, speaks, speaks)

    with reading(small_server.engine) as session:
        kept = set(session.scalars(select(InboundRow.boot)))
    assert kept == {"boot-0", *(f"boot-{number}" for number in range(13, 20))}
    assert len(kept) == BOOTS_KEPT
    assert small_server.inbox.counts == {"committed": 2, "outdated": 19, "duplicate": 1}
