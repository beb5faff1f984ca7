"""Retrain requests: one alert makes one, and each becomes one file, whole or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.codec import from_plain
from contracts.ids import DEFAULT_TENANT, DeviceId, digest_of
from contracts.retrain import MovedFeature, RetrainRequest
from contracts.sketch import Sketch
from fleet_server.database.session import reading, transaction
from fleet_server.errors import DataDirUnusable, NotFound
from fleet_server.retrain import store
from fleet_server.retrain.export import FOLDER, export_requests
from fleet_server.retrain.request import request_retraining
from tests.fleet_server.small_fleet import V1, Fleet, fleet_at

NOW = datetime(2026, 11, 20, tzinfo=UTC)
MOVED = MovedFeature(name="image.mean", psi=2.0, reference_mean=0.4, current_mean=0.7)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Return an empty fleet."""
    return fleet_at(tmp_path)


def a_request(alert: str = "alert-1") -> RetrainRequest:
    """Return the request that the alert makes."""
    window = Sketch.empty(plan=digest_of(b"plan"), release=V1, bins={}, classes=0)
    return request_retraining(alert, device=DeviceId("pi-1"), moved=[MOVED], window=window, now=NOW)


def written(fleet: Fleet, request: RetrainRequest) -> None:
    """Write the request down."""
    with transaction(fleet.engine) as session:
        store.add_retrain_request(session, DEFAULT_TENANT, request)


def test_one_alert_makes_one_request(fleet: Fleet) -> None:
    written(fleet, a_request())
    written(fleet, a_request())

    with reading(fleet.engine) as session:
        assert store.list_retrain_requests(session, DEFAULT_TENANT) == (a_request(),)
        assert store.get_retrain_request(session, DEFAULT_TENANT, "retrain-1") == a_request()


def test_a_request_that_is_not_there_is_not_found(fleet: Fleet) -> None:
    with reading(fleet.engine) as session, pytest.raises(NotFound, match="there is no retrain request 'retrain-9'"):
        store.get_retrain_request(session, DEFAULT_TENANT, "retrain-9")


def test_a_file_holds_the_whole_request(fleet: Fleet, tmp_path: Path) -> None:
    written(fleet, a_request())

    (path,) = export_requests(fleet.engine, tmp_path)

    assert from_plain(RetrainRequest, json.loads(path.read_text())) == a_request()
    assert [file.name for file in path.parent.iterdir()] == ["retrain-1.json"]


def test_a_file_that_somebody_took_away_comes_back_and_an_edited_one_stays(fleet: Fleet, tmp_path: Path) -> None:
    written(fleet, a_request("alert-1"))
    written(fleet, a_request("alert-2"))
    export_requests(fleet.engine, tmp_path)
    (tmp_path / FOLDER / "retrain-1.json").unlink()
    (tmp_path / FOLDER / "retrain-2.json").write_text("{}")

    again = export_requests(fleet.engine, tmp_path)

    assert [path.name for path in again] == ["retrain-1.json"]
    assert (tmp_path / FOLDER / "retrain-2.json").read_text() == "{}"


def test_a_folder_that_cannot_be_written_to_is_named(fleet: Fleet, tmp_path: Path) -> None:
    written(fleet, a_request())
    (tmp_path / FOLDER).write_text("in the way")

    with pytest.raises(DataDirUnusable, match=r"cannot write retrain request .*retrain-1\.json"):
        export_requests(fleet.engine, tmp_path)
