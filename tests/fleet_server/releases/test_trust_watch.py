"""Alerts of trust: what expires, and who still runs what was revoked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from contracts.ids import DEFAULT_TENANT
from fleet_server.alerts.store import list_alerts
from fleet_server.database.session import reading, transaction
from fleet_server.database.tables import DeviceRow
from fleet_server.readmodel import AlertKind, AlertState, AlertView
from fleet_server.releases import trust_watch
from tests.fleet_server.releases.offices import publish, release, trusted_office
from tests.fleet_server.server import EnrolledDevice, SmallServer, a_release
from tests.fleet_server.trust.office import TOP, Office


@pytest.fixture
def office(small_server: SmallServer) -> Office:
    return trusted_office(small_server)


def look(server: SmallServer, state: AlertState = AlertState.OPEN) -> list[AlertView]:
    """Let the watch look once and return the alerts of that state, by title."""
    trust_watch.tick(server.engine, server.clock)
    with reading(server.engine) as session:
        return sorted(list_alerts(session, DEFAULT_TENANT, state=state), key=lambda alert: alert.title)


def run(server: SmallServer, device: EnrolledDevice, **running: str) -> None:
    with transaction(server.engine) as session:
        session.execute(update(DeviceRow).where(DeviceRow.id == device.id).values(running=running))


def test_while_nothing_expires_soon_nothing_is_said(small_server: SmallServer, office: Office) -> None:
    publish(small_server, office)

    assert look(small_server) == []


def test_each_role_that_people_sign_is_announced(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", "digits/*/*.artifact")
    publish(small_server, office, "vision")
    small_server.clock.pass_s(timedelta(days=336).total_seconds())

    alerts = look(small_server)

    assert [alert.title for alert in alerts] == [
        "director root expires in less than 30 days",
        "models root expires in less than 30 days",
        "targets expires in less than 30 days",
        "team vision expires in less than 30 days",
    ]
    assert {alert.kind for alert in alerts} == {AlertKind.TRUST}
    assert "sign it anew with 'edgeship keys renew'" in alerts[0].detail
    assert "sign it anew with 'edgeship release sign --renew'" in alerts[2].detail


def test_a_week_ahead_it_is_said_once_more(small_server: SmallServer, office: Office) -> None:
    small_server.clock.pass_s(timedelta(days=336).total_seconds())
    first = look(small_server)
    small_server.clock.pass_s(timedelta(days=23).total_seconds())

    assert len(look(small_server)) == len(look(small_server)) == 2 * len(first) == 4


def test_a_later_version_clears_it(small_server: SmallServer, office: Office) -> None:
    office.files[TOP].expires = small_server.clock.now() + timedelta(days=20)
    publish(small_server, office)
    (alert,) = look(small_server)
    office.files[TOP].expires += timedelta(days=90)
    publish(small_server, office)

    assert alert.title == "targets expires in less than 30 days"
    assert look(small_server) == []
    assert "a later version is published" in look(small_server, AlertState.CLEARED)[0].detail


def test_who_runs_a_revoked_release_is_named_until_nobody_does(small_server: SmallServer, office: Office) -> None:
    path = release(small_server, office, a_release())
    first, second = small_server.enroll(), small_server.enroll("pi-2")
    run(small_server, first, digits="digits@1.0.0")
    run(small_server, second, digits="digits@1.0.0")
    before = look(small_server)
    office.unlist(path)
    publish(small_server, office)

    (both,) = look(small_server)
    run(small_server, first, digits="digits@2.0.0")
    (one,) = look(small_server)
    run(small_server, second)

    assert before == []
    assert (both.title, both.release) == ("2 devices still run digits@1.0.0", "digits@1.0.0")
    assert "pi-1, pi-2" in both.detail
    assert (one.id, one.title) == (both.id, "1 device still run digits@1.0.0")
    assert look(small_server) == []


def test_what_is_trusted_is_shown_with_floors_and_keys(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", "digits/*/*.artifact")
    office.floor("vision", digits=1)
    publish(small_server, office, "vision")

    shown = small_server.api.get("/api/v1/trust").json()

    assert [(role["name"], role["version"]) for role in shown["roles"]] == [
        ("models root", 1),
        ("director root", 1),
        ("targets", 1),
        ("team vision", 1),
    ]
    assert shown["floors"] == {"digits": 1}
    assert shown["server_keys"]["director root"] == small_server.director_keys.public.keyid
