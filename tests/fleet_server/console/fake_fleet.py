"""Reading, Acting and People in memory, and a clock that moves when told to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from contracts.ids import DEFAULT_TENANT, DeviceId, RolloutId
from contracts.retrain import RetrainRequest
from fleet_server.console.acting import RolloutAct
from fleet_server.console.listing import is_failing
from fleet_server.console.reading import SketchesView
from fleet_server.errors import NotFound, NotSignedIn
from fleet_server.people.role import Role
from fleet_server.people.user import User
from fleet_server.readmodel import (
    AlertState,
    AlertView,
    DeviceStatus,
    DeviceView,
    OverviewView,
    ReleaseView,
    RolloutView,
    TransferView,
    TrustView,
)
from fleet_server.rollouts.states import UNDER_WAY, RolloutEvent, step_rollout

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PASSWORDS = {"ana": "correct horse", "vera": "battery staple"}
ROLES = {"ana": Role.OPERATOR, "vera": Role.VIEWER}

Found = TypeVar("Found")


class TestClock:
    """A clock that moves when told to."""

    __test__ = False

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class FakeFleet:
    """Reading, Acting and People in memory; tests change it and look at the pages."""

    def __init__(self, clock: TestClock) -> None:
        self.clock = clock
        self.device_views: list[DeviceView] = []
        self.rollout_views: list[RolloutView] = []
        self.alert_views: list[AlertView] = []
        self.retrain_requests: dict[str, RetrainRequest] = {}
        self.transfer_views: list[TransferView] = []
        self.sketch_views: dict[DeviceId, SketchesView] = {}
        self.trust_view = TrustView(roles=(), floors={}, server_keys={})
        self.release_views: list[ReleaseView] = []
        self.sessions: dict[str, User] = {}
        self.done: list[tuple[str, str, str]] = []

    def overview(self) -> OverviewView:
        versions = Counter(release for device in self.device_views for release in device.running.values())
        return OverviewView(
            devices=len(self.device_views),
            online=sum(device.status is DeviceStatus.ONLINE for device in self.device_views),
            failing=sum(is_failing(device) for device in self.device_views),
            active_rollouts=tuple(rollout for rollout in self.rollout_views if rollout.state in UNDER_WAY),
            open_alerts=tuple(alert for alert in self.alert_views if alert.state is AlertState.OPEN),
            versions=versions,
        )

    def devices(self) -> tuple[DeviceView, ...]:
        return tuple(self.device_views)

    def device(self, device: DeviceId) -> DeviceView:
        return _only([view for view in self.device_views if view.id == device], "device", device)

    def transfers(self, device: DeviceId) -> tuple[TransferView, ...]:
        return tuple(view for view in self.transfer_views if view.device == device)

    def sketches(self, device: DeviceId) -> SketchesView | None:
        return self.sketch_views.get(device)

    def rollouts(self) -> tuple[RolloutView, ...]:
        return tuple(self.rollout_views)

    def rollout(self, rollout: RolloutId) -> RolloutView:
        return _only([view for view in self.rollout_views if view.id == rollout], "rollout", rollout)

    def trust(self) -> TrustView:
        return self.trust_view

    def releases(self) -> tuple[ReleaseView, ...]:
        return tuple(self.release_views)

    def alerts(self) -> tuple[AlertView, ...]:
        return tuple(self.alert_views)

    def retrain_request(self, request: str) -> RetrainRequest:
        found = [self.retrain_requests[request]] if request in self.retrain_requests else []
        return _only(found, "retrain request", request)

    def change_rollout(self, rollout: RolloutId, act: RolloutAct, *, by: str) -> None:
        view = self.rollout(rollout)
        self.put_rollout(replace(view, state=step_rollout(view.state, RolloutEvent(act.value))))
        self.done.append((by, act.value, rollout))

    def put_rollout(self, rollout: RolloutView) -> None:
        self.rollout_views = [rollout if view.id == rollout.id else view for view in self.rollout_views]

    def acknowledge(self, alert: str, *, by: str) -> None:
        seen = {"state": AlertState.ACKNOWLEDGED, "acknowledged_by": by}
        _only([view for view in self.alert_views if view.id == alert], "alert", alert)
        self.alert_views = [replace(view, **seen) if view.id == alert else view for view in self.alert_views]  # type: ignore[arg-type]
        self.done.append((by, "acknowledge", alert))

    def sign_in(self, name: str, password: str) -> str:
        if PASSWORDS.get(name) != password:
            raise NotSignedIn("name or password is wrong")
        cookie = f"session-of-{name}"
        self.sessions[cookie] = User(id=name, tenant=DEFAULT_TENANT, name=name, role=ROLES[name])
        return cookie

    def user(self, cookie: str) -> User:
        if cookie not in self.sessions:
            raise NotSignedIn("the session has ended; sign in again")
        return self.sessions[cookie]

    def sign_out(self, cookie: str) -> None:
        self.sessions.pop(cookie, None)


def _only(found: list[Found], what: str, name: str) -> Found:
    if not found:
        raise NotFound(what, name)
    return found[0]
