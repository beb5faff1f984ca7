"""Alerts in the database: one standing alert a topic, acknowledged by the first who sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.ids import DEFAULT_TENANT, TenantId
from fleet_server.alerts import store
from fleet_server.database.session import transaction
from fleet_server.errors import AlreadyExists, NotFound
from fleet_server.readmodel import AlertKind, AlertState
from tests.fleet_server.small_fleet import Fleet, fleet_at


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Return an empty fleet."""
    return fleet_at(tmp_path)


def opened(fleet: Fleet, topic: str = "rollout/r-1") -> str:
    """Open an alert and return its id."""
    with transaction(fleet.engine) as session:
        return store.open_alert(
            session,
            DEFAULT_TENANT,
            topic=topic,
            kind=AlertKind.ROLLOUT,
            title="a rollout failed",
            detail="wave 1",
            now=fleet.clock.now(),
        )


def test_the_same_trouble_opens_one_alert(fleet: Fleet) -> None:
    assert opened(fleet) == opened(fleet)
    assert opened(fleet, "rollout/r-2") != opened(fleet)
    assert len(fleet.alerts()) == 2


def test_trouble_that_comes_back_after_it_was_cleared_is_a_new_alert(fleet: Fleet) -> None:
    first = opened(fleet)
    with transaction(fleet.engine) as session:
        store.clear_alert(session, DEFAULT_TENANT, "rollout/r-1", reason="over", now=fleet.clock.now())

    second = opened(fleet)

    assert first != second
    assert {alert.id: alert.state for alert in fleet.alerts()} == {
        first: AlertState.CLEARED,
        second: AlertState.OPEN,
    }


def test_the_first_who_acknowledges_stays(fleet: Fleet) -> None:
    alert = opened(fleet)

    with transaction(fleet.engine) as session:
        store.acknowledge(session, DEFAULT_TENANT, alert, by="ada", now=fleet.clock.now())
        view = store.acknowledge(session, DEFAULT_TENANT, alert, by="bob", now=fleet.clock.now())

    assert (view.state, view.acknowledged_by) == (AlertState.ACKNOWLEDGED, "ada")


def test_a_cleared_alert_cannot_be_acknowledged(fleet: Fleet) -> None:
    alert = opened(fleet)

    with transaction(fleet.engine) as session:
        store.clear_alert(session, DEFAULT_TENANT, "rollout/r-1", reason="over", now=fleet.clock.now())
        with pytest.raises(AlreadyExists, match="cleared meanwhile"):
            store.acknowledge(session, DEFAULT_TENANT, alert, by="ada", now=fleet.clock.now())


def test_another_tenants_alert_is_not_there(fleet: Fleet) -> None:
    alert = opened(fleet)

    with transaction(fleet.engine) as session, pytest.raises(NotFound, match="there is no alert"):
        store.acknowledge(session, TenantId("other"), alert, by="eve", now=fleet.clock.now())
