"""Between the threads: the newest offer counts, waiting is interruptible, nothing odd gets through."""

from __future__ import annotations

import random
import threading

import pytest

from contracts.codec import encode
from contracts.metadata import PART_BYTES, MetadataAnswer, MetadataName, MetadataRequest
from contracts.topics import Channel
from contracts.update import UpdateState
from edge_agent.clock import SystemClock
from edge_agent.errors import MetadataMissing
from edge_agent.update.courier import Courier, Letter, Patience, Stopping, Superseded
from edge_agent.update.worker import LETTERS_LIMIT, REVERT_FILE, Mailroom, UpdateWorker, revert_all
from tests.conformance.link_laws import wait_until
from tests.fakes.device import MODEL, FakeDevice, an_artifact, an_offer
from tests.fakes.repository import SignedRepository


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

    _flood(mailroom, LETTERS_LIMIT + 10)

    assert mailroom._letters.qsize() == LETTERS_LIMIT


class _Scripted:
    """A mailbox whose letters are there already."""

    def __init__(self, *letters: tuple[Channel, object]) -> None:
        self._letters = [Letter(channel=channel, data=encode(message)) for channel, message in letters]

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

    data = _courier(mailbox).metadata(MetadataName.TARGETS, limit_bytes=2 * PART_BYTES)

    assert data == b"ab"


def test_no_such_file_is_told() -> None:
    with pytest.raises(MetadataMissing, match="no targets version 3"):
        _courier(_Scripted(_part(0, 0, b""))).metadata(MetadataName.TARGETS, version=3, limit_bytes=10)


def test_a_file_without_end_is_not_read() -> None:
    with pytest.raises(MetadataMissing, match="more than 10 bytes"):
        _courier(_Scripted(_part(0, 10**9, b""))).metadata(MetadataName.TARGETS, limit_bytes=10)


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
    worker = UpdateWorker(device.machine, device.mailroom, device.slots, device.state)
    thread = threading.Thread(target=worker.run, args=(lambda: None,))
    thread.start()
    device.interrupt_with("digits@2")
    wait_until(lambda: bool(device.reports) and device.last.state is UpdateState.HEALTHY)

    (device.state / REVERT_FILE).write_bytes(b"")

    wait_until(lambda: device.running == "digits@1")
    device.mailroom.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_going_back_without_an_agent_holds_at_the_next_start(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.offer("digits@2")

    assert revert_all(device.slots) == ((MODEL, "digits@1"),)

    device.restart()
    assert device.running == "digits@1"
