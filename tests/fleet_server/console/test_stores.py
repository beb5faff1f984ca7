"""The console over a real database: what the stores hold is what the pages show."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from contracts.ids import DEFAULT_TENANT, DeviceId
from contracts.update import UpdateState
from fleet_server.console.acting import RolloutAct
from fleet_server.console.stores import Place, StoreActing, StoreReading
from fleet_server.database.session import transaction
from fleet_server.database.tables import AuditRow
from fleet_server.errors import NotFound
from fleet_server.readmodel import AlertState
from fleet_server.rollouts.spec import GateSpec
from fleet_server.rollouts.states import RolloutState
from tests.fleet_server.console.browsing import SAME_ORIGIN
from tests.fleet_server.server import SmallServer
from tests.fleet_server.small_fleet import V1, V2, Fleet, fleet_at

pytestmark = pytest.mark.slow
PI_1 = DeviceId("pi-1")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return fleet_at(tmp_path)


@pytest.fixture
def place(fleet: Fleet) -> Place:
    return Place(engine=fleet.engine, clock=fleet.clock, tenant=DEFAULT_TENANT)


def test_first_person_signs_in_sees_every_empty_page_and_signs_out(small_server: SmallServer) -> None:
    browser = TestClient(small_server.app, headers=SAME_ORIGIN, follow_redirects=False)
    form = {"name": small_server.secrets.user, "password": small_server.secrets.password}

    refused = browser.post("/login", data=form | {"password": "wrong"})
    entered = browser.post("/login", data=form)
    pages = [browser.get(page).status_code for page in ("/", "/devices", "/rollouts", "/alerts")]
    api = browser.get("/api/v1/overview").status_code
    browser.post("/logout")

    assert (refused.status_code, entered.status_code) == (401, 303)
    assert pages == [200, 200, 200, 200]
    assert api == 200
    assert browser.get("/").headers["location"] == "/login?next=/"


def test_signing_in_is_in_the_audit(small_server: SmallServer) -> None:
    form = {"name": small_server.secrets.user, "password": small_server.secrets.password}

    TestClient(small_server.app, headers=SAME_ORIGIN).post("/login", data=form)

    with transaction(small_server.engine) as session:
        newest = session.scalars(select(AuditRow).order_by(AuditRow.id.desc())).first()
    assert newest is not None
    assert (newest.actor, newest.action, newest.object) == ("admin", "session.open", "console")


def test_enrolled_device_has_a_page(small_server: SmallServer) -> None:
    small_server.enroll("pi-1")
    browser = TestClient(small_server.app, headers=SAME_ORIGIN)
    browser.post("/login", data={"name": small_server.secrets.user, "password": small_server.secrets.password})

    page = browser.get("/devices/pi-1")

    assert page.status_code == 200
    assert "last seen never" in page.text
    assert "No chunk has been asked for" in page.text


def test_rollout_is_read_whole_and_obeys(fleet: Fleet, place: Place) -> None:
    fleet.publish(V2)
    fleet.enroll("pi-1", "pi-2", "pi-3")
    rollout = fleet.roll_out(V2, gate=GateSpec(min_rows=0))
    reading, acting = StoreReading(place), StoreActing(place)

    acting.change_rollout(rollout, RolloutAct.PAUSE, by="ana")

    (active,) = reading.overview().active_rollouts
    assert (active.id, active.state, len(active.devices)) == (rollout, RolloutState.PAUSED, 3)
    assert reading.rollout(rollout) == active
    assert [one.id for one in reading.rollouts()] == [rollout]
    assert {part.state for part in active.devices} == {UpdateState.OFFERED, UpdateState.QUEUED}


def test_drift_alert_is_read_with_its_inputs_and_acknowledged(fleet: Fleet, place: Place) -> None:
    fleet.publish(V1)
    fleet.enroll("pi-1", running=V1)
    _drift(fleet)
    reading = StoreReading(place)

    (alert,) = reading.alerts()
    StoreActing(place).acknowledge(alert.id, by="ana")

    assert [feature.name for feature in alert.moved] == ["image.mean"]
    assert alert.retrain is not None
    assert reading.retrain_request(alert.retrain).alert == alert.id
    assert [(one.state, one.acknowledged_by) for one in reading.alerts()] == [(AlertState.ACKNOWLEDGED, "ana")]
    assert reading.overview().open_alerts == ()


def test_sketches_of_the_running_release_are_added_up_and_held_against_its_reference(
    fleet: Fleet, place: Place
) -> None:
    fleet.publish(V1)
    fleet.enroll("pi-1", running=V1)
    fleet.window(PI_1, V1)
    fleet.window(PI_1, V1, shifted=True)

    sketches = StoreReading(place).sketches(PI_1)

    assert sketches is not None
    assert (sketches.release, sketches.windows, sketches.rows) == (V1, 2, 400)
    (feature,) = sketches.features
    assert feature.reference.mean == pytest.approx(8.0)
    assert feature.current.mean == pytest.approx(11.0)
    assert feature.psi > 0.25


def test_device_that_sent_no_window_has_no_sketches(fleet: Fleet, place: Place) -> None:
    fleet.publish(V1)
    fleet.enroll("pi-1", running=V1)

    assert StoreReading(place).sketches(PI_1) is None


def test_what_there_is_not_is_not_found(place: Place) -> None:
    reading = StoreReading(place)

    with pytest.raises(NotFound, match="pi-9"):
        reading.device(DeviceId("pi-9"))
    with pytest.raises(NotFound, match="rt-9"):
        reading.retrain_request("rt-9")


def _drift(fleet: Fleet) -> None:
    for _ in range(4):
        fleet.window(PI_1, V1, shifted=True)
        fleet.tick(after_s=10)
