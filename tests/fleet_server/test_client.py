"""The client: what the API answers becomes readmodel values; what it refuses becomes one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from contracts.codec import to_plain
from contracts.ids import DeviceId, RolloutId
from fleet_server.client import FleetClient, RolloutAction
from fleet_server.readmodel import AlertState
from signing.errors import ServerConfusing, ServerRefused, ServerUnreachable
from tests.fleet_server.fake_api import TOKEN, FakeApi, fake_api
from tests.fleet_server.views import (
    LYON,
    NEW,
    PI,
    ROLLOUT,
    a_device,
    a_group,
    a_plan,
    a_retrain_request,
    a_rollout,
    a_sketch,
    a_transfer,
    an_alert,
    an_overview,
    some_devices,
    some_releases,
)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as api:
        yield api


@pytest.fixture
def client(api: FakeApi) -> FleetClient:
    return FleetClient.at(api.url, TOKEN, timeout_s=5)


def test_every_read_comes_back_as_it_was_sent(api: FakeApi, client: FleetClient) -> None:
    plan = a_plan()
    api.answer("GET", "/api/v1/overview", an_overview())
    api.answer("GET", "/api/v1/devices", some_devices())
    api.answer("GET", "/api/v1/devices/pi-01", a_device())
    api.answer("GET", "/api/v1/devices/pi-01/transfers", [a_transfer()])
    api.answer("GET", "/api/v1/groups", [a_group()])
    api.answer("GET", "/api/v1/releases", some_releases())
    api.answer("GET", "/api/v1/releases/digits@1.1.0/sketch-plans/raspberry-pi-4", plan)
    api.answer("GET", "/api/v1/rollouts", [a_rollout()])
    api.answer("GET", "/api/v1/alerts", [an_alert()])
    api.answer("GET", "/api/v1/retrain-requests", [a_retrain_request()])
    api.answer("GET", "/api/v1/retrain-requests/t-55", a_retrain_request())
    api.answer("GET", "/api/v1/sketches?device=pi-01", [a_sketch(plan)])

    assert client.overview() == an_overview()
    assert client.devices() == some_devices()
    assert client.device(DeviceId("pi-01")) == a_device()
    assert client.transfers(DeviceId("pi-01")) == (a_transfer(),)
    assert client.groups() == (a_group(),)
    assert client.releases() == some_releases()
    assert client.sketch_plan(NEW, PI) == plan
    assert client.rollouts() == (a_rollout(),)
    assert client.alerts() == (an_alert(),)
    assert client.retrain_requests() == (a_retrain_request(),)
    assert client.retrain_request("t-55") == a_retrain_request()
    assert client.sketches(DeviceId("pi-01")) == (a_sketch(plan),)


def test_a_rollout_is_asked_for_in_full(api: FakeApi, client: FleetClient) -> None:
    api.answer("POST", "/api/v1/rollouts", a_rollout())

    created = client.create_rollout(a_rollout().spec)

    assert created == a_rollout()
    assert json.loads(api.asked[0].body) == to_plain(a_rollout().spec)
    assert api.asked[0].content_type == "application/json"


@pytest.mark.parametrize("action", list(RolloutAction))
def test_each_action_has_its_own_address(action: RolloutAction, api: FakeApi, client: FleetClient) -> None:
    api.answer("POST", f"/api/v1/rollouts/{ROLLOUT}/{action}", a_rollout())

    client.steer(ROLLOUT, action)

    assert api.paths() == [f"POST /api/v1/rollouts/{ROLLOUT}/{action}"]


def test_tokens_groups_and_acknowledgements_are_posted(api: FakeApi, client: FleetClient) -> None:
    api.answer("POST", "/api/v1/enrollment-tokens", {"token": "join-me"})
    api.answer("POST", "/api/v1/groups", a_group())
    api.answer("POST", "/api/v1/alerts/a-101/acknowledge", an_alert(state=AlertState.ACKNOWLEDGED))

    token = client.create_enrollment_token(LYON, uses=3, ttl_s=60)
    client.create_group(LYON)
    acknowledged = client.acknowledge("a-101")

    assert (token, acknowledged.state) == ("join-me", AlertState.ACKNOWLEDGED)
    assert json.loads(api.asked[0].body) == {"group": "lyon", "uses": 3, "ttl_s": 60}
    assert json.loads(api.asked[1].body) == {"name": "lyon"}


def test_a_name_cannot_leave_its_place_in_the_address(api: FakeApi, client: FleetClient) -> None:
    with pytest.raises(ServerRefused):
        client.rollout(RolloutId("../devices?x=1"))

    assert api.paths() == ["GET /api/v1/rollouts/..%2Fdevices%3Fx%3D1"]


def test_a_refusal_is_the_servers_sentence(api: FakeApi, client: FleetClient) -> None:
    api.refuse("POST", "/api/v1/rollouts", status=409, code="already_exists", message="lyon has an active rollout")

    with pytest.raises(ServerRefused) as caught:
        client.create_rollout(a_rollout().spec)

    assert str(caught.value) == "the server refused: lyon has an active rollout"
    assert (caught.value.status, caught.value.reason) == (409, "already_exists")


def test_a_wrong_token_is_refused(api: FakeApi) -> None:
    with pytest.raises(ServerRefused, match="the token is not known"):
        FleetClient.at(api.url, "wrong").overview()


def test_a_server_that_is_gone_is_named_with_its_address(api: FakeApi) -> None:
    with fake_api() as gone:
        client = FleetClient.at(gone.url, TOKEN)

    with pytest.raises(ServerUnreachable, match="is the server running"):
        client.overview()


@pytest.mark.parametrize("answer", [{"devices": []}, "none", 7, None])
def test_an_answer_that_is_no_list_is_not_guessed_at(answer: object, api: FakeApi, client: FleetClient) -> None:
    api.answer("GET", "/api/v1/devices", answer)

    with pytest.raises(ServerConfusing, match="no list"):
        client.devices()


def test_a_field_of_the_wrong_type_is_named(api: FakeApi, client: FleetClient) -> None:
    plain = to_plain(a_device())
    assert isinstance(plain, dict)
    api.answer("GET", "/api/v1/devices/pi-01", {**plain, "requests": "many"})

    with pytest.raises(ServerConfusing, match=r"DeviceView\.requests: expected int.*another version"):
        client.device(DeviceId("pi-01"))


def test_a_newer_servers_extra_fields_are_passed_over(api: FakeApi, client: FleetClient) -> None:
    plain = to_plain(a_device())
    assert isinstance(plain, dict)
    api.answer("GET", "/api/v1/devices/pi-01", {**plain, "mood": "fine"})

    assert client.device(DeviceId("pi-01")) == a_device()


def test_a_token_answer_without_a_token_is_named(api: FakeApi, client: FleetClient) -> None:
    api.answer("POST", "/api/v1/enrollment-tokens", {"key": "x"})

    with pytest.raises(ServerConfusing, match="no token"):
        client.create_enrollment_token(LYON, uses=1, ttl_s=60)
