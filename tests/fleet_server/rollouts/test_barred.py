"""A release that may not be offered any more: no rollout of it begins, and those under way stop."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contracts.ids import DEFAULT_TENANT
from contracts.topics import Channel
from contracts.update import UpdateState
from fleet_server.broker.outbox import Outbox
from fleet_server.database.session import reading, transaction
from fleet_server.database.tables import DeviceRow, RolloutDeviceRow
from fleet_server.rollouts import conductor
from tests.fleet_server.releases.offices import publish, release, trusted_office
from tests.fleet_server.server import EnrolledDevice, SmallServer, a_release
from tests.fleet_server.trust.office import Office

SECOND = "digits/2.0.0/raspberry-pi-4.artifact"


@pytest.fixture
def office(small_server: SmallServer) -> Office:
    """An office that released digits 1.0.0 and 2.0.0."""
    office = trusted_office(small_server)
    release(small_server, office, a_release())
    release(small_server, office, a_release(version="2.0.0", counter=2))
    return office


def start(server: SmallServer, *, of: str = "digits@2.0.0", goes_back: bool = True) -> dict[str, str]:
    spec = {"release": of, "group": "lab", "roll_back_on_failure": goes_back}
    answer = server.api.post("/api/v1/rollouts", json=spec)
    body: dict[str, str] = answer.json()
    return body


def tick(server: SmallServer) -> dict[str, str]:
    """Let the conductor work and return the one rollout."""
    conductor.tick(server.engine, server.clock)
    (rollout,) = server.api.get("/api/v1/rollouts").json()
    body: dict[str, str] = rollout
    return body


def runs(server: SmallServer, device: EnrolledDevice, release: str) -> None:
    with transaction(server.engine) as session:
        session.get_one(DeviceRow, (DEFAULT_TENANT, device.id)).running = {"digits": release}


def revoke(server: SmallServer, office: Office) -> None:
    office.unlist(SECOND)
    publish(server, office)


def offered(server: SmallServer, device: EnrolledDevice) -> str | None:
    with reading(server.engine) as session:
        return session.get_one(DeviceRow, (DEFAULT_TENANT, device.id)).offered_release


def test_no_rollout_of_a_revoked_release_begins(small_server: SmallServer, office: Office) -> None:
    small_server.enroll()
    revoke(small_server, office)

    refusal = start(small_server)

    assert refusal["error"]["code"] == "release_barred"  # type: ignore[index]  # an error's body
    assert small_server.api.get("/api/v1/rollouts").json() == []


def test_no_rollout_below_the_floor_begins_and_one_at_it_does(small_server: SmallServer, office: Office) -> None:
    small_server.enroll()
    office.floor(digits=2)
    publish(small_server, office)

    refusal, allowed = start(small_server, of="digits@1.0.0"), start(small_server)

    assert "below 2, the security floor of digits" in refusal["error"]["message"]  # type: ignore[index]  # an error's body
    assert allowed["state"] == "running"


def test_an_older_release_above_the_floor_may_be_rolled_out(small_server: SmallServer, office: Office) -> None:
    small_server.enroll()

    assert start(small_server, of="digits@1.0.0")["state"] == "running"


def test_a_rollout_of_a_release_that_is_revoked_goes_back(small_server: SmallServer, office: Office) -> None:
    device = small_server.enroll()
    runs(small_server, device, "digits@1.0.0")
    start(small_server)
    tick(small_server)
    before = offered(small_server, device)
    revoke(small_server, office)

    after = tick(small_server)

    assert (before, offered(small_server, device)) == ("digits@2.0.0", "digits@1.0.0")
    assert (after["state"], "it was revoked" in after["reason"]) == ("rolling_back", True)
    assert small_server.api.get("/api/v1/alerts").json()[0]["title"] == "Rollout of digits@2.0.0 was stopped"


def test_one_that_is_not_to_go_back_is_halted(small_server: SmallServer, office: Office) -> None:
    small_server.enroll()
    start(small_server, goes_back=False)
    revoke(small_server, office)

    assert tick(small_server)["state"] == "halted"


def test_a_device_is_not_sent_back_to_what_is_barred_too(small_server: SmallServer, office: Office) -> None:
    device = small_server.enroll()
    runs(small_server, device, "digits@1.0.0")
    rollout = start(small_server)["id"]
    tick(small_server)
    with transaction(small_server.engine) as session:
        part = session.get_one(RolloutDeviceRow, (DEFAULT_TENANT, rollout, device.id))
        part.state = UpdateState.HEALTHY
    office.floor(digits=3)
    publish(small_server, office)

    after = tick(small_server)

    assert after["state"] == "rolled_back"
    assert offered(small_server, device) == "digits@2.0.0"
    assert "keeps digits@2.0.0: digits@1.0.0 may not be offered" in after["devices"][0]["detail"]  # type: ignore[index]  # a device's part


def test_a_broker_that_forgot_is_not_told_of_a_barred_release_again(small_server: SmallServer, office: Office) -> None:
    device = small_server.enroll()
    small_server.offer(device, "digits@2.0.0")
    revoke(small_server, office)
    small_server.clock.pass_s(timedelta(minutes=1).total_seconds())
    outbox = Outbox(small_server.engine, small_server.clock, small_server.publisher)
    outbox.send_waiting()
    before = len(small_server.publisher.bodies(Channel.OFFER))

    small_server.publisher.connections += 1
    outbox.send_waiting()

    assert before == 1
    assert len(small_server.publisher.bodies(Channel.OFFER)) == 1
