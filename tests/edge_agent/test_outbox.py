"""Nothing that was reported is lost, and nothing is sent for ever."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts.codec import MESSAGE_LIMIT_BYTES, decode
from contracts.envelope import Envelope, ReportAck, ReportKind, signed_bytes
from contracts.ids import DEFAULT_TENANT, BootId, ReleaseId, RolloutId, digest_of
from contracts.sketch import Sketch
from contracts.update import UpdateReport, UpdateState
from edge_agent.errors import ReportTooLong, StateError
from edge_agent.identity import DeviceKey
from edge_agent.outbox import LIMIT_BYTES, WINDOW_LIMIT, Outbox, Sender, SendPlan, waiting_reports
from tests.fakes.clock import START
from tests.fakes.device import DEVICE

KEY = DeviceKey(b"\x07" * 32)
UPDATE = UpdateReport(
    rollout=RolloutId("rollout-1"),
    generation=1,
    attempt=1,
    release=ReleaseId("digits@1"),
    state=UpdateState.HEALTHY,
    running="digits@1",
    at=START,
)
SKETCH = Sketch.empty(plan=digest_of(b""), release=ReleaseId("digits@1"), bins={}, classes=0)


def _outbox(folder: Path, *, boot: str = "boot-1", limit_bytes: int = LIMIT_BYTES) -> Outbox:
    sender = Sender(tenant=DEFAULT_TENANT, device=DEVICE, boot=BootId(boot), sign=KEY.sign)
    return Outbox(folder / "outbox.sqlite", sender, limit_bytes=limit_bytes)


def _envelopes(outbox: Outbox) -> list[Envelope]:
    return [decode(Envelope, data) for data in outbox.first(1000)]


def _verify(envelope: Envelope) -> None:
    signed = signed_bytes(
        tenant=DEFAULT_TENANT,
        device=DEVICE,
        boot=envelope.boot,
        sequence=envelope.sequence,
        kind=envelope.kind,
        body=envelope.body,
    )
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(KEY.public_hex)).verify(envelope.signature, signed)


def test_a_report_is_numbered_signed_and_kept(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)

    outbox.add(ReportKind.UPDATE, UPDATE)

    (envelope,) = _envelopes(outbox)
    assert (envelope.boot, envelope.sequence, envelope.kind) == ("boot-1", 1, ReportKind.UPDATE)
    assert decode(UpdateReport, envelope.body) == UPDATE
    _verify(envelope)


def test_a_report_that_fits_no_message_is_refused_and_uses_no_number(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    names = [f"column.{number}" for number in range(5000)]
    wide = Sketch.empty(plan=digest_of(b""), release=ReleaseId("digits@1"), bins=dict.fromkeys(names, 16), classes=0)

    with pytest.raises(
        ReportTooLong, match=f"a sketch report of [0-9]+ bytes is over the limit of {MESSAGE_LIMIT_BYTES}"
    ):
        outbox.add(ReportKind.SKETCH, wide)

    assert outbox.waiting() == 0
    assert outbox.add(ReportKind.UPDATE, UPDATE) == 1


@pytest.mark.parametrize(("over", "kept"), [(0, 1), (1, 0)])
def test_the_limit_is_that_of_the_whole_message(over: int, kept: int, tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.add(ReportKind.UPDATE, replace(UPDATE, detail="x" * 100_000))
    (known,) = outbox.first(1)
    message = replace(UPDATE, detail="x" * (100_000 + MESSAGE_LIMIT_BYTES - len(known) + over))

    with suppress(ReportTooLong):
        outbox.add(ReportKind.UPDATE, message)

    assert outbox.waiting() == 1 + kept


def test_a_flipped_byte_of_a_kept_report_no_longer_verifies(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.add(ReportKind.UPDATE, UPDATE)
    (envelope,) = _envelopes(outbox)

    forged = Envelope(
        boot=envelope.boot,
        sequence=2,
        kind=envelope.kind,
        body=envelope.body,
        signature=envelope.signature,
    )

    with pytest.raises(InvalidSignature):
        _verify(forged)


def test_reports_outlive_the_process_and_keep_their_number(tmp_path: Path) -> None:
    _outbox(tmp_path).add(ReportKind.UPDATE, UPDATE)

    outbox = _outbox(tmp_path, boot="boot-2")
    outbox.add(ReportKind.UPDATE, UPDATE)

    assert [(envelope.boot, envelope.sequence) for envelope in _envelopes(outbox)] == [("boot-1", 1), ("boot-2", 1)]


def test_an_acknowledgement_covers_everything_up_to_its_number(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    for _ in range(3):
        outbox.add(ReportKind.UPDATE, UPDATE)
    outbox.first(3)

    gone = outbox.acknowledge(ReportAck(boot=BootId("boot-1"), sequence=2))

    assert gone == 2
    assert [envelope.sequence for envelope in _envelopes(outbox)] == [3]


def test_an_acknowledgement_of_another_boot_covers_nothing(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.add(ReportKind.UPDATE, UPDATE)

    assert outbox.acknowledge(ReportAck(boot=BootId("boot-0"), sequence=9)) == 0
    assert outbox.waiting() == 1


@pytest.mark.parametrize("sequence", [2, 1 << 62, 1 << 64])
def test_an_acknowledgement_of_more_than_was_sent_is_ignored(sequence: int, tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.add(ReportKind.UPDATE, UPDATE)
    outbox.add(ReportKind.UPDATE, UPDATE)
    outbox.first(1)

    assert outbox.acknowledge(ReportAck(boot=BootId("boot-1"), sequence=sequence)) == 0
    assert outbox.waiting() == 2


def test_an_acknowledgement_of_an_earlier_boot_covers_what_was_sent_again(tmp_path: Path) -> None:
    before = _outbox(tmp_path)
    before.add(ReportKind.UPDATE, UPDATE)
    before.add(ReportKind.UPDATE, UPDATE)
    outbox = _outbox(tmp_path, boot="boot-2")
    outbox.first(1)

    assert outbox.acknowledge(ReportAck(boot=BootId("boot-1"), sequence=2)) == 1
    assert [envelope.sequence for envelope in _envelopes(outbox)] == [2]


def test_only_the_owner_may_read_what_waits(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").touch(mode=0o644)

    _outbox(tmp_path).add(ReportKind.UPDATE, UPDATE)

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("outbox.sqlite", "outbox.sqlite-wal", "outbox.sqlite-shm"), 0o600)


def test_at_the_limit_the_oldest_sketches_go_first_and_update_reports_stay(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path, limit_bytes=4_000)
    outbox.add(ReportKind.UPDATE, UPDATE)

    for _ in range(40):
        outbox.add(ReportKind.SKETCH, SKETCH)
    for _ in range(2):
        outbox.add(ReportKind.UPDATE, UPDATE)

    kept = _envelopes(outbox)
    sketches = [envelope.sequence for envelope in kept if envelope.kind is ReportKind.SKETCH]
    assert sum(len(data) for data in outbox.first(1000)) <= 4_000
    assert [envelope.sequence for envelope in kept if envelope.kind is ReportKind.UPDATE] == [1, 42, 43]
    assert sketches == list(range(42 - len(sketches), 42))


def test_update_reports_are_kept_beyond_the_limit(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path, limit_bytes=500)

    for _ in range(5):
        outbox.add(ReportKind.UPDATE, UPDATE)

    assert outbox.waiting() == 5


def test_on_a_full_disk_a_report_is_kept_in_memory_until_it_is_acknowledged(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox._connection.execute("PRAGMA max_page_count = 1")
    for _ in range(40):
        outbox.add(ReportKind.UPDATE, UPDATE)

    sequences = [envelope.sequence for envelope in _envelopes(outbox)]
    gone = outbox.acknowledge(ReportAck(boot=BootId("boot-1"), sequence=39))

    assert sequences == list(range(1, 41))
    assert waiting_reports(tmp_path / "outbox.sqlite") < 40
    assert (gone, outbox.waiting()) == (39, 1)


def test_a_reader_beside_a_running_agent_sees_what_waits(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.add(ReportKind.UPDATE, UPDATE)

    assert waiting_reports(tmp_path / "outbox.sqlite") == 1
    assert waiting_reports(tmp_path / "elsewhere.sqlite") == 0


def test_a_damaged_outbox_is_named(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"no database at all, and long enough to be looked at" * 100)

    with pytest.raises(StateError, match=r"outbox\.sqlite"):
        _outbox(tmp_path)


def test_the_oldest_report_goes_out_alone_and_waits_for_its_answer() -> None:
    plan = SendPlan(first_wait_s=5.0)
    assert plan.due(now_s=0.0)

    plan.sent(now_s=0.0)

    assert plan.window == 1
    assert not plan.due(now_s=4.9)
    assert plan.due(now_s=5.0)


def test_silence_makes_the_wait_longer_up_to_a_minute() -> None:
    plan = SendPlan(first_wait_s=5.0)
    for _ in range(10):
        plan.sent(now_s=0.0)

    assert not plan.due(now_s=59.9)
    assert plan.due(now_s=60.0)


def test_a_report_without_an_answer_holds_the_others_up_five_times_only() -> None:
    plan = SendPlan(first_wait_s=5.0)

    windows = []
    for _ in range(11):
        windows.append(plan.window)
        plan.sent(now_s=0.0)

    assert windows == [1] * 5 + [2] * 5 + [3]
    assert plan.window <= WINDOW_LIMIT


def test_an_answer_or_a_new_session_sends_the_next_at_once() -> None:
    answered, connected = SendPlan(first_wait_s=5.0), SendPlan(first_wait_s=5.0)
    answered.sent(now_s=0.0)
    connected.sent(now_s=0.0)

    answered.answered()
    connected.connected()

    assert answered.due(now_s=0.0)
    assert connected.due(now_s=0.0)
