"""Windows that come in become alerts and retrain requests, once, and alerts clear when the device calms down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.ids import DEFAULT_TENANT, DeviceId
from fleet_server.alerts.store import acknowledge
from fleet_server.database.session import reading, transaction
from fleet_server.drift.store import SketchRefused, merged_recent, recent_sketches, unexamined_sources
from fleet_server.readmodel import AlertKind, AlertState
from fleet_server.retrain.export import export_requests
from fleet_server.retrain.store import list_retrain_requests
from tests.fleet_server.small_fleet import QUICK, V1, V2, V3, Fleet, fleet_at

DEVICE, OTHER = DeviceId("pi-1"), DeviceId("pi-2")
SIXTY_ROWS = (6,) * 10


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Return two devices on release 1."""
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.publish(V2)
    fleet.enroll(DEVICE, OTHER, running=V1)
    return fleet


def send(fleet: Fleet, windows: int, *, shifted: bool, device: DeviceId = DEVICE) -> None:
    """Let the device send windows of 60 rows, one every three seconds, the watch looking after each."""
    for _ in range(windows):
        fleet.window(device, V1, mix=SIXTY_ROWS, shifted=shifted)
        fleet.tick(after_s=3.0)


def test_a_shifted_device_alerts_as_soon_as_there_are_a_hundred_rows(fleet: Fleet) -> None:
    send(fleet, 1, shifted=True)
    too_few = fleet.alerts()
    send(fleet, 1, shifted=True)

    (alert,) = fleet.alerts()
    assert too_few == ()
    assert (alert.kind, alert.device, alert.release) == (AlertKind.DRIFT, DEVICE, V1)
    assert [moved.name for moved in alert.moved] == ["image.mean"]
    assert "image.mean 8 -> 14" in alert.detail


def test_only_the_devices_that_see_something_else_alert(fleet: Fleet) -> None:
    send(fleet, 3, shifted=True)
    send(fleet, 3, shifted=False, device=OTHER)

    assert [alert.device for alert in fleet.alerts()] == [DEVICE]


def test_a_standing_alert_is_not_opened_again(fleet: Fleet) -> None:
    send(fleet, 8, shifted=True)

    with reading(fleet.engine) as session:
        requests = list_retrain_requests(session, DEFAULT_TENANT)
    assert len(fleet.alerts()) == 1
    assert len(requests) == 1


def test_an_acknowledged_alert_is_not_opened_again_either(fleet: Fleet) -> None:
    send(fleet, 2, shifted=True)
    with transaction(fleet.engine) as session:
        acknowledge(session, DEFAULT_TENANT, fleet.alerts()[0].id, by="ada", now=fleet.clock.now())

    send(fleet, 3, shifted=True)

    assert [(alert.state, alert.acknowledged_by) for alert in fleet.alerts()] == [(AlertState.ACKNOWLEDGED, "ada")]


def test_an_alert_clears_after_three_quiet_looks_and_opens_anew_later(fleet: Fleet) -> None:
    send(fleet, 2, shifted=True)
    send(fleet, 4, shifted=False)
    after_two_looks = fleet.alerts()[0].state
    send(fleet, 2, shifted=False)
    after_three = fleet.alerts()[0].state
    send(fleet, 2, shifted=True)

    assert (after_two_looks, after_three) == (AlertState.OPEN, AlertState.CLEARED)
    assert sorted(alert.state for alert in fleet.alerts()) == [AlertState.CLEARED, AlertState.OPEN]


def test_a_new_release_ends_the_alert_of_the_old_one(fleet: Fleet) -> None:
    send(fleet, 2, shifted=True)

    fleet.window(DEVICE, V2, mix=SIXTY_ROWS)
    fleet.tick(after_s=3.0)

    assert fleet.alerts()[0].state is AlertState.CLEARED
    assert "now answers with digits@2.0" in fleet.alerts()[0].detail


def test_a_window_of_a_release_that_nobody_published_is_refused(fleet: Fleet) -> None:
    with pytest.raises(SketchRefused, match=r"does not fit the sketch plan of that release"):
        fleet.window(DEVICE, V3, mix=SIXTY_ROWS)


@pytest.mark.parametrize(
    ("mix", "latency"),
    [
        ((6,) * 9, QUICK),  # a class too few
        ((6,) * 11, QUICK),  # a class too many
        ((66, -6, *(0,) * 8), QUICK),
        ((2**70, *(0,) * 9), QUICK),
        (SIXTY_ROWS, (1,) * 5),
    ],
)
def test_a_window_with_impossible_counts_is_refused(
    fleet: Fleet, mix: tuple[int, ...], latency: tuple[int, ...]
) -> None:
    with pytest.raises(SketchRefused):
        fleet.window(DEVICE, V1, mix=mix, latency=latency)


def test_the_watch_remembers_across_a_restart_what_it_has_seen(fleet: Fleet) -> None:
    send(fleet, 1, shifted=True)
    fleet.restart()

    with reading(fleet.engine) as session:
        left_to_look_at = unexamined_sources(session, limit=10)
    send(fleet, 1, shifted=True)

    assert left_to_look_at == ()
    assert len(fleet.alerts()) == 1


def test_the_retrain_request_names_evidence_and_is_written_as_a_file_once(fleet: Fleet, tmp_path: Path) -> None:
    send(fleet, 2, shifted=True)

    (path,) = export_requests(fleet.engine, tmp_path)
    again = export_requests(fleet.engine, tmp_path)

    alert = fleet.alerts()[0]
    written = json.loads(path.read_text())
    assert again == ()
    assert path == tmp_path / "retrain-requests" / f"{alert.retrain}.json"
    assert (written["model"], written["release"], written["devices"]) == ("digits", "digits@1.0", ["pi-1"])
    assert (written["rows"], written["alert"], written["moved"][0]["name"]) == (120, alert.id, "image.mean")


def test_recent_windows_can_be_read_and_added_up(fleet: Fleet) -> None:
    send(fleet, 3, shifted=False)

    with reading(fleet.engine) as session:
        recent = recent_sketches(session, DEFAULT_TENANT, device=DEVICE)
        merged = merged_recent(session, DEFAULT_TENANT, device=DEVICE, release=V1)
        nothing = merged_recent(session, DEFAULT_TENANT, device=OTHER, release=V1)

    assert len(recent) == 3
    assert merged is not None
    assert (merged[0].rows, merged[1]) == (180, 3)
    assert nothing is None
