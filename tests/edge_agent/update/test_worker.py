"""Between the threads: the newest offer counts, waiting is interruptible, nothing odd gets through."""

from __future__ import annotations

import dataclasses
import random
import threading
import time

import cbor2
import pytest

from contracts.codec import encode, to_plain
from contracts.metadata import PART_BYTES, MetadataAnswer, MetadataName, MetadataRequest
from contracts.topics import Channel
from contracts.update import UpdateState
from edge_agent.clock import SystemClock
from edge_agent.delivery.courier import Courier, Letter, Patience, Stopping, Superseded
from edge_agent.errors import MetadataMissing
from edge_agent.state_folder import StateFolder
from edge_agent.trust.errors import MetadataTooLong
from edge_agent.update.worker import LETTERS_LIMIT, Mailroom, UpdateWorker, revert_all
from tests.conformance.link_laws import wait_until
from tests.fakes.device import MODEL, FakeDevice, an_artifact, an_offer
from tests.fakes.repository import SignedRepository

TARGETS = MetadataRequest(name=MetadataName.TARGETS, request=0)


def _flood(mailroom: Mailroom, letters: int) -> None:
    for _ in range(letters):
        mailroom.deliver(Channel.CHUNK, b"flood")


def _deliver_offer(mailroom: Mailroom, generation: int) -> None:
    mailroom.deliver(Channel.OFFER, encode(an_offer("digits@1", generation=generation)))


def test_of_several_offers_the_newest_is_taken() -> None:
    mailroom = Mailroom()

    _deliver_offer(mailroom, 1)
    _deliver_offer(mailroom, 3)
    _deliver_offer(mailroom, 2)

    offer = mailroom.next_offer(0.0)
    assert offer is not None
    assert offer.generation == 3
    assert mailroom.next_offer(0.0) is None


def test_the_same_offer_again_is_no_news() -> None:
    mailroom = Mailroom()
    _deliver_offer(mailroom, 1)
    mailroom.next_offer(0.0)

    _deliver_offer(mailroom, 1)

    assert mailroom.next_offer(0.0) is None


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xa0", bytes(500_000)])
def test_an_offer_that_cannot_be_read_is_dropped(data: bytes) -> None:
    mailroom = Mailroom()

    mailroom.deliver(Channel.OFFER, data)

    assert mailroom.next_offer(0.0) is None


@pytest.mark.parametrize(
    "change",
    [
        {"release": "faces@1"},
        {"release": "digits@" + "A" * 60_000},
        {"rollout": "A" * 60_000},
        {"max_bytes_s": 1 << 62},
        {"generation": 1 << 62},
        {"attempt": -1},
    ],
)
def test_a_forged_offer_is_dropped_and_counted(change: dict[str, object]) -> None:
    mailroom = Mailroom()
    good = to_plain(an_offer("digits@1"))
    assert isinstance(good, dict)

    mailroom.deliver(Channel.OFFER, cbor2.dumps({**good, **change}, canonical=True))

    assert mailroom.next_offer(0.0) is None
    assert mailroom.offers_dropped == 1


def test_a_generation_far_above_the_newest_taken_up_mutes_nobody() -> None:
    mailroom = Mailroom()
    mailroom.carrying_out(7)

    _deliver_offer(mailroom, 7 + 2**32 + 1)
    _deliver_offer(mailroom, 8)

    offer = mailroom.next_offer(0.0)
    assert offer is not None
    assert (offer.generation, mailroom.offers_dropped) == (8, 1)


def test_the_steps_of_forged_generations_start_at_what_was_taken_up_and_not_at_what_came_in() -> None:
    mailroom = Mailroom()

    _deliver_offer(mailroom, 2**32)
    _deliver_offer(mailroom, 2**33)

    offer = mailroom.next_offer(0.0)
    assert offer is not None
    assert offer.generation == 2**32


def test_an_offer_older_than_the_last_of_an_earlier_start_wakes_nobody() -> None:
    mailroom = Mailroom()
    mailroom.carrying_out(7)

    _deliver_offer(mailroom, 7)

    assert mailroom.next_offer(0.0) is None


def test_whoever_waits_is_interrupted_by_a_newer_offer() -> None:
    mailroom = Mailroom()
    mailroom.carrying_out(1)
    threading.Timer(0.05, _deliver_offer, (mailroom, 2)).start()

    with pytest.raises(Superseded):
        mailroom.take(10.0)


def test_whoever_waits_is_interrupted_by_the_end() -> None:
    mailroom = Mailroom()
    threading.Timer(0.05, mailroom.stop).start()

    with pytest.raises(Stopping):
        mailroom.take(10.0)
    with pytest.raises(Stopping):
        mailroom.next_offer(10.0)


def test_an_offer_being_carried_out_does_not_interrupt_itself() -> None:
    mailroom = Mailroom()
    _deliver_offer(mailroom, 2)
    mailroom.next_offer(0.0)

    mailroom.take(0.0)

    assert mailroom.take(0.0) is None


def test_a_flood_fills_no_memory() -> None:
    mailroom = Mailroom()
    mailroom.expect(Channel.CHUNK)

    _flood(mailroom, LETTERS_LIMIT + 10)

    assert mailroom._letters.qsize() == LETTERS_LIMIT


class _Scripted:
    """A mailbox whose letters are there already."""

    def __init__(self, *letters: tuple[Channel, object]) -> None:
        self._letters = [Letter(channel=channel, data=encode(message)) for channel, message in letters]

    sessions = 1

    def expect(self, channel: Channel | None) -> None:
        assert channel in (Channel.META, None)

    def take(self, timeout_s: float) -> Letter | None:
        assert timeout_s > 0
        return self._letters.pop(0) if self._letters else None


def _courier(mailbox: _Scripted) -> Courier:
    return Courier(
        lambda _channel, _data: None,
        mailbox,
        clock=SystemClock(),
        patience=Patience(first_s=0.01, chance=random.Random(7)),
    )


def _part(part: int, parts: int, data: bytes, *, request: int = 1) -> tuple[Channel, MetadataAnswer]:
    answer = MetadataAnswer(name=MetadataName.TARGETS, request=request, part=part, parts=parts, data=data)
    return Channel.META, answer


def test_parts_are_put_together_in_order_whatever_lies_between() -> None:
    noise = (Channel.META, MetadataRequest(name=MetadataName.ROOT, request=1))
    mailbox = _Scripted(_part(1, 2, b"b"), noise, _part(0, 1, b"old", request=0), _part(0, 2, b"a"))

    data = _courier(mailbox).metadata(TARGETS, limit_bytes=2 * PART_BYTES)

    assert data == b"ab"


def test_no_such_file_is_told() -> None:
    with pytest.raises(MetadataMissing, match="no targets version 3"):
        _courier(_Scripted(_part(0, 0, b""))).metadata(dataclasses.replace(TARGETS, version=3), limit_bytes=10)


def test_a_file_without_end_is_not_read() -> None:
    with pytest.raises(MetadataTooLong, match="more than 10 bytes"):
        _courier(_Scripted(_part(0, 10**9, b""))).metadata(TARGETS, limit_bytes=10)


def test_the_wait_for_an_answer_doubles_up_to_a_minute() -> None:
    patience = Patience(first_s=5.0, chance=random.Random(7))

    assert patience.after(0) == 5.0
    assert 5.0 <= patience.after(1) <= 10.0
    assert 30.0 <= patience.after(60) <= 60.0


@pytest.mark.slow
def test_the_worker_finishes_takes_offers_and_reverts_when_asked(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    worker = UpdateWorker(device.machine, device.mailroom, device.slots, StateFolder(device.state).revert_requested)
    thread = threading.Thread(target=worker.run, args=(lambda: None,))
    thread.start()
    device.interrupt_with("digits@2")
    wait_until(lambda: bool(device.reports) and device.last.state is UpdateState.HEALTHY)

    StateFolder(device.state).revert_requested.write_bytes(b"")

    wait_until(lambda: device.running == "digits@1")
    device.mailroom.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_going_back_without_an_agent_holds_at_the_next_start(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.offer("digits@2")

    assert revert_all(device.slots, {}) == ((MODEL, "digits@1"),)

    device.restart()
    assert device.running == "digits@1"


def _worker(device: FakeDevice, *, pause_s: float) -> threading.Thread:
    revert_file = StateFolder(device.state).revert_requested
    worker = UpdateWorker(device.machine, device.mailroom, device.slots, revert_file, pause_s=pause_s)
    thread = threading.Thread(target=worker.run, args=(lambda: None,))
    thread.start()
    return thread


def test_an_offer_that_trips_over_a_bug_is_taken_up_again_and_the_next_one_too(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.outbox_errors = [RuntimeError("a bug"), OverflowError("another")]
    thread = _worker(device, pause_s=0.01)

    device.interrupt_with("digits@2")
    wait_until(lambda: bool(device.reports) and device.last.state is UpdateState.HEALTHY)

    device.mailroom.stop()
    thread.join(10)
    assert device.running == "digits@2"


def test_after_a_bug_the_worker_rests_open_to_the_end_of_the_process(device: FakeDevice) -> None:
    device.outbox_errors = [RuntimeError("a bug") for _ in range(1000)]
    thread = _worker(device, pause_s=60.0)

    device.interrupt_with("digits@9")
    wait_until(lambda: len(device.outbox_errors) < 1000)
    time.sleep(0.1)
    device.mailroom.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert len(device.outbox_errors) == 999
