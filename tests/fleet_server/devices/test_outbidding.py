"""Offers carry no trust, so anybody may forge one: a generation that was never ours must not make a device deaf."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.codec import decode
from contracts.envelope import ReportKind
from contracts.topics import Channel
from contracts.update import Offer, UpdateState
from fleet_server.broker.outbox import Outbox
from fleet_server.rollouts.spec import GateSpec
from tests.fleet_server.broker.test_inbox import a_heartbeat, an_update_report
from tests.fleet_server.server import SmallServer
from tests.fleet_server.small_fleet import V1, V2, V3, Fleet, fleet_at

FORGED = 2**52
NO_TRAFFIC = GateSpec(soak_s=3.0, min_rows=0)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Return one device on release 1, with releases 1, 2 and 3 published."""
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.publish(V2)
    fleet.publish(V3)
    fleet.enroll("pi-1", running=V1)
    return fleet


def test_a_device_that_heard_a_forged_generation_is_offered_the_release_again_above_it(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC, waves=("100%",))
    (device,) = fleet.wave(rollout, 0)

    fleet.heartbeat(device, running=V1, generation=FORGED)
    fleet.heartbeat(device, running=V1, generation=FORGED)

    first, again = fleet.offers(device)
    assert again == replace(first, generation=FORGED + 1)


def test_what_the_device_says_of_the_offer_above_counts_for_the_rollout(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC, waves=("100%",))
    (device,) = fleet.wave(rollout, 0)
    fleet.heartbeat(device, running=V1, generation=FORGED)

    fleet.report(device, UpdateState.HEALTHY)

    assert fleet.states(rollout) == {device: UpdateState.HEALTHY}


def test_a_device_that_runs_what_it_should_is_left_alone_and_the_next_offer_is_above(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC, waves=("100%",))
    (device,) = fleet.wave(rollout, 0)
    fleet.report(device, UpdateState.HEALTHY)
    fleet.tick(after_s=3.0)

    fleet.heartbeat(device, running=V2, generation=FORGED)
    fleet.tick(after_s=3.0)
    fleet.roll_out(V3, gate=NO_TRAFFIC, waves=("100%",))

    assert [(offer.release, offer.generation) for offer in fleet.offers(device)] == [(V2, 1), (V3, FORGED + 1)]


def test_a_release_that_the_device_gave_up_is_not_offered_to_it_again(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC, waves=("100%",))
    (device,) = fleet.wave(rollout, 0)
    fleet.report(device, UpdateState.ROLLED_BACK, running=V1, code="probation_latency")

    fleet.heartbeat(device, running=V1, generation=FORGED)

    assert [offer.generation for offer in fleet.offers(device)] == [1]


@pytest.mark.parametrize("generation", [-1, 2**53, 2**62])
def test_what_is_no_generation_is_ignored(fleet: Fleet, generation: int) -> None:
    rollout = fleet.roll_out(V2, gate=NO_TRAFFIC, waves=("100%",))
    (device,) = fleet.wave(rollout, 0)

    fleet.heartbeat(device, running=V1, generation=generation)

    assert [offer.generation for offer in fleet.offers(device)] == [1]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (ReportKind.UPDATE, replace(an_update_report(running="digits@1.0.0"), generation=FORGED)),
        (ReportKind.HEARTBEAT, replace(a_heartbeat(), generation=FORGED)),
    ],
)
def test_a_signed_report_of_either_kind_tells_of_the_forged_generation(
    small_server: SmallServer, kind: ReportKind, said: object
) -> None:
    device = small_server.enroll()
    small_server.offer(device, "digits@2.0.0")

    small_server.inbox.take([(device.topic(), device.seal(1, kind, said))])
    Outbox(small_server.engine, small_server.clock, small_server.publisher).send_waiting()

    sent = [decode(Offer, body).generation for body in small_server.publisher.bodies(Channel.OFFER)]
    assert sent[-1] == FORGED + 1
