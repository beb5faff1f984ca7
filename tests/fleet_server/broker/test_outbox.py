"""Offers: out in order, marked only when the broker has them, said again to a broker that forgot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.codec import decode
from contracts.envelope import ReportKind
from contracts.topics import Channel
from contracts.update import Offer
from fleet_server.broker.outbox import Outbox
from tests.fleet_server.broker.test_inbox import a_heartbeat
from tests.fleet_server.server import EnrolledDevice, SmallServer


def outbox(server: SmallServer) -> Outbox:
    made = Outbox(server.engine, server.clock, server.publisher)
    made.send_waiting()
    server.publisher.published.clear()
    return made


def offers(server: SmallServer) -> list[tuple[int, str]]:
    sent = [decode(Offer, body) for body in server.publisher.bodies(Channel.OFFER)]
    return [(offer.generation, offer.release) for offer in sent]


def beat(server: SmallServer, device: EnrolledDevice, sequence: int, *, knows: int, after_s: float) -> None:
    """Let the device say, that much later, which generation of offers it knows."""
    server.clock.pass_s(after_s)
    heartbeat = replace(a_heartbeat(), generation=knows)
    server.inbox.take([(device.topic(), device.seal(sequence, ReportKind.HEARTBEAT, heartbeat))])


def test_offers_go_out_in_order_and_once(small_server: SmallServer) -> None:
    sender, device = outbox(small_server), small_server.enroll()
    small_server.offer(device, "digits@1.0.0")
    small_server.offer(device, "digits@2.0.0")

    counts = [sender.send_waiting(), sender.send_waiting()]

    assert counts == [2, 0]
    assert offers(small_server) == [(1, "digits@1.0.0"), (2, "digits@2.0.0")]


def test_an_offer_is_retained_and_carries_its_bound(small_server: SmallServer) -> None:
    sender, device = outbox(small_server), small_server.enroll()
    small_server.offer(device, "digits@1.0.0", max_bytes_s=5000)

    sender.send_waiting()

    ((topic, body, retained),) = small_server.publisher.published
    assert (topic, retained) == ("es/default/d/pi-1/offer", True)
    assert (decode(Offer, body).model, decode(Offer, body).max_bytes_s) == ("digits", 5000)


def test_an_offer_that_did_not_arrive_is_sent_again(small_server: SmallServer) -> None:
    sender, device = outbox(small_server), small_server.enroll()
    small_server.offer(device, "digits@1.0.0")
    small_server.publisher.arrives = False

    lost = sender.send_waiting()
    small_server.publisher.arrives = True
    found = sender.send_waiting()

    assert (lost, found) == (0, 1)


def test_a_broker_that_comes_back_hears_the_current_offers_again(small_server: SmallServer) -> None:
    sender, device = outbox(small_server), small_server.enroll()
    small_server.offer(device, "digits@1.0.0")
    small_server.offer(device, "digits@2.0.0")
    sender.send_waiting()
    small_server.publisher.published.clear()

    small_server.publisher.connections += 1
    sender.send_waiting()

    assert offers(small_server) == [(2, "digits@2.0.0")]


def test_an_offer_that_was_acknowledged_but_never_reached_the_device_is_sent_again(small_server: SmallServer) -> None:
    sender, device = outbox(small_server), small_server.enroll()
    small_server.offer(device, "digits@1.0.0")
    sender.send_waiting()
    small_server.publisher.published.clear()

    beat(small_server, device, 1, knows=0, after_s=16.0)
    sender.send_waiting()

    topic, _, retained = small_server.publisher.published[-1]
    assert (topic, retained) == ("es/default/d/pi-1/offer", True)
    assert offers(small_server) == [(1, "digits@1.0.0")]


@pytest.mark.parametrize(("knows", "after_s"), [(0, 15.0), (1, 16.0)])
def test_an_offer_that_is_young_or_known_is_not_sent_again(
    small_server: SmallServer, knows: int, after_s: float
) -> None:
    sender, device = outbox(small_server), small_server.enroll()
    small_server.offer(device, "digits@1.0.0")
    sender.send_waiting()

    beat(small_server, device, 1, knows=knows, after_s=after_s)

    assert sender.send_waiting() == 0


def test_one_copy_of_an_offer_at_most_is_on_its_way(small_server: SmallServer) -> None:
    sender, device = outbox(small_server), small_server.enroll()
    small_server.offer(device, "digits@1.0.0")

    beat(small_server, device, 1, knows=0, after_s=60.0)
    first = sender.send_waiting()
    beat(small_server, device, 2, knows=0, after_s=10.0)
    too_soon = sender.send_waiting()
    beat(small_server, device, 3, knows=0, after_s=6.0)
    beat(small_server, device, 4, knows=0, after_s=60.0)
    later = sender.send_waiting()

    assert (first, too_soon, later) == (1, 0, 1)


def test_an_offer_that_was_lost_is_not_sent_again_once_a_newer_one_waits(small_server: SmallServer) -> None:
    sender, device = outbox(small_server), small_server.enroll()
    small_server.offer(device, "digits@1.0.0")
    sender.send_waiting()
    small_server.publisher.published.clear()
    small_server.clock.pass_s(60.0)
    small_server.offer(device, "digits@2.0.0")

    beat(small_server, device, 1, knows=0, after_s=60.0)
    sender.send_waiting()

    assert offers(small_server) == [(2, "digits@2.0.0")]
