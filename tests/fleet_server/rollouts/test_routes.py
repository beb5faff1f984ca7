"""Rollouts, alerts, retrain requests and sketches over HTTP: shapes, rights and refusals."""

from __future__ import annotations

import pytest

from contracts.codec import from_plain
from contracts.ids import DEFAULT_TENANT, DeviceId, ReleaseId
from fleet_server.database.session import transaction
from fleet_server.devices.store import create_group
from fleet_server.drift import watch
from fleet_server.readmodel import AlertView, RolloutView
from fleet_server.rollouts.states import RolloutState
from tests.fleet_server.server import SmallServer
from tests.fleet_server.small_fleet import GROUP, V1, Fleet

API = "/api/v1"
SPEC = {"release": "digits@1.0", "group": "lab", "waves": ["1", "100%"], "gate": {"min_rows": 0}}


@pytest.fixture
def fleet(small_server: SmallServer) -> Fleet:
    """Return the small server's fleet: two devices and one release."""
    fleet = Fleet(engine=small_server.engine, url=small_server.config.url)
    with transaction(fleet.engine) as session:
        create_group(session, DEFAULT_TENANT, GROUP, fleet.clock.now())
    fleet.publish(V1)
    fleet.enroll("pi-1", "pi-2")
    return fleet


@pytest.mark.slow
@pytest.mark.usefixtures("fleet")
def test_a_rollout_is_asked_for_looked_at_paused_and_aborted(small_server: SmallServer) -> None:
    created = small_server.api.post(f"{API}/rollouts", json=SPEC)
    rollout = from_plain(RolloutView, created.json())
    paused = small_server.api.post(f"{API}/rollouts/{rollout.id}/pause")
    aborted = small_server.api.post(f"{API}/rollouts/{rollout.id}/abort")
    again = small_server.api.post(f"{API}/rollouts/{rollout.id}/pause")

    listed = small_server.api.get(f"{API}/rollouts").json()
    assert created.status_code == 200
    assert rollout.spec.gate.min_rows == 0
    assert from_plain(RolloutView, paused.json()).state is RolloutState.PAUSED
    assert listed == [aborted.json()] == [small_server.api.get(f"{API}/rollouts/{rollout.id}").json()]
    assert (again.status_code, again.json()["error"]["code"]) == (409, "transition_refused")


@pytest.mark.slow
@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"waves": ["1"]}, 422, "must be '100%'"),
        ({"wave": ["100%"]}, 422, "wave"),
        ({"gate": {"soak": 3}}, 422, "soak"),
        ({"release": "digits"}, 422, "MODEL@VERSION"),
        ({"release": "digits@9"}, 404, "publish it first"),
        ({"device_timeout_s": 0}, 422, "device_timeout_s is 0"),
    ],
)
def test_a_bad_request_is_answered_with_what_is_wrong(
    small_server: SmallServer, change: dict[str, object], status: int, words: str
) -> None:
    answer = small_server.api.post(f"{API}/rollouts", json=SPEC | change)

    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["rollouts", "alerts", "retrain-requests", "sketches"])
def test_a_stranger_sees_nothing(small_server: SmallServer, path: str) -> None:
    assert small_server.strangers_api.get(f"{API}/{path}").status_code == 401


@pytest.mark.slow
def test_a_drift_alert_its_request_and_its_windows_are_shown(small_server: SmallServer, fleet: Fleet) -> None:
    fleet.window(DeviceId("pi-1"), V1, shifted=True)
    watch.tick(fleet.engine, fleet.clock)

    (alert,) = [from_plain(AlertView, plain) for plain in small_server.api.get(f"{API}/alerts").json()]
    request = small_server.api.get(f"{API}/retrain-requests/{alert.retrain}").json()
    seen = small_server.api.post(f"{API}/alerts/{alert.id}/acknowledge").json()
    windows = small_server.api.get(f"{API}/sketches", params={"device": "pi-1", "release": V1}).json()

    assert (request["alert"], request["release"]) == (alert.id, ReleaseId("digits@1.0"))
    assert seen["state"] == "acknowledged"
    assert seen["acknowledged_by"]
    assert [window["rows"] for window in windows] == [200]
    assert small_server.api.get(f"{API}/retrain-requests").json() == [request]
