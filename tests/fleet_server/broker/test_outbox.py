"""Offers: out in order, marked only when the broker has them, said again to a broker that forgot."""

from __future__ import annotations

from contracts.codec import decode
from contracts.topics import Channel
from contracts.update import Offer
from fleet_server.broker.outbox import Outbox
from tests.fleet_server.server import SmallServer


def outbox(server: SmallServer) -> Outbox:
    made = Outbox(server.engine, server.clock, server.publisher)
    made.send_waiting()
    server.publisher.published.clear()
    return made


def offers(server: SmallServer) -> list[tuple[int, str]]:
    sent = [decode(Offer, body) for body in server.publisher.bodies(Channel.OFFER)]
    return [(offer.generation, offer.release) for offer in sent]


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
