"""The fleet server's API as Python: one method for each request, readmodel values in and out.

Stdlib only; errors are ``signing.errors.ServerError``: unreachable, refused (with the server's own
sentence), or an answer that cannot be read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from contracts.retrain import RetrainRequest
from contracts.sketch import Sketch, SketchPlan
from fleet_server.readmodel import (
    AlertView,
    DeviceView,
    GroupView,
    OverviewView,
    ReleaseView,
    RolloutView,
    TransferView,
    TrustView,
)
from fleet_server.rollouts.spec import RolloutSpec
from signing.connection import ServerConnection
from signing.errors import ServerConfusing

if TYPE_CHECKING:
    from contracts.ids import DeviceId, GroupName, ProfileName, ReleaseId, RolloutId

API = "/api/v1"

Value = TypeVar("Value")


class RolloutAction(StrEnum):
    """What an operator may do to a rollout that exists."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    ROLLBACK = "rollback"


class FleetClient:
    """Asks one server; holds no socket and no state."""

    def __init__(self, connection: ServerConnection) -> None:
        """Ask over that connection."""
        self._connection = connection

    @classmethod
    def at(cls, server_url: str, token: str, *, timeout_s: float = 30.0) -> FleetClient:
        """Return a client of the server at that address."""
        return cls(ServerConnection(url=server_url, token=token, timeout_s=timeout_s))

    @property
    def console_url(self) -> str:
        """Where the same things are in a browser."""
        return self._connection.url.rstrip("/")

    def overview(self) -> OverviewView:
        """Return the four numbers and what is behind them."""
        return self._one(OverviewView, "/overview")

    def devices(self) -> tuple[DeviceView, ...]:
        """Return every device."""
        return self._many(DeviceView, "/devices")

    def device(self, device: DeviceId) -> DeviceView:
        """Return the device."""
        return self._one(DeviceView, f"/devices/{_segment(device)}")

    def revoke(self, device: DeviceId) -> DeviceView:
        """Let the device's certificates, reports and requests count no more, and return it."""
        return self._sent(DeviceView, f"/devices/{_segment(device)}/revoke", {})

    def transfers(self, device: DeviceId) -> tuple[TransferView, ...]:
        """Return how artifacts' chunks went to the device."""
        return self._many(TransferView, f"/devices/{_segment(device)}/transfers")

    def groups(self) -> tuple[GroupView, ...]:
        """Return every group."""
        return self._many(GroupView, "/groups")

    def create_group(self, name: GroupName) -> None:
        """Make the group exist."""
        self._connection.send_json("POST", f"{API}/groups", {"name": name})

    def create_enrollment_token(self, group: GroupName, *, uses: int, ttl_s: int) -> str:
        """Return a new token with which ``uses`` devices may join the group within ``ttl_s`` seconds."""
        path = "/enrollment-tokens"
        answer = self._connection.send_json("POST", API + path, {"group": group, "uses": uses, "ttl_s": ttl_s})
        if isinstance(answer, dict) and isinstance(answer.get("token"), str):
            token: str = answer["token"]
            return token
        raise ServerConfusing(f"the answer to {path} holds no token; is the server of another version?")

    def releases(self) -> tuple[ReleaseView, ...]:
        """Return every published release."""
        return self._many(ReleaseView, "/releases")

    def trust(self) -> TrustView:
        """Return what the server trusts, and until when."""
        return self._one(TrustView, "/trust")

    def sketch_plan(self, release: ReleaseId, profile: ProfileName) -> SketchPlan:
        """Return what the release's artifact for the profile says to watch, and what normal was."""
        return self._one(SketchPlan, f"/releases/{_segment(release)}/sketch-plans/{_segment(profile)}")

    def rollouts(self) -> tuple[RolloutView, ...]:
        """Return every rollout, whole."""
        return self._many(RolloutView, "/rollouts")

    def rollout(self, rollout: RolloutId) -> RolloutView:
        """Return the rollout, whole."""
        return self._one(RolloutView, f"/rollouts/{_segment(rollout)}")

    def create_rollout(self, spec: RolloutSpec) -> RolloutView:
        """Start the rollout and return it."""
        return self._sent(RolloutView, "/rollouts", to_plain(spec))

    def steer(self, rollout: RolloutId, action: RolloutAction) -> RolloutView:
        """Do that to the rollout and return what it is now."""
        return self._sent(RolloutView, f"/rollouts/{_segment(rollout)}/{action}", {})

    def alerts(self) -> tuple[AlertView, ...]:
        """Return every alert, newest first."""
        return self._many(AlertView, "/alerts")

    def acknowledge(self, alert: str) -> AlertView:
        """Note that somebody looks after the alert, and return it."""
        return self._sent(AlertView, f"/alerts/{_segment(alert)}/acknowledge", {})

    def retrain_requests(self) -> tuple[RetrainRequest, ...]:
        """Return every retrain request."""
        return self._many(RetrainRequest, "/retrain-requests")

    def retrain_request(self, request: str) -> RetrainRequest:
        """Return the retrain request."""
        return self._one(RetrainRequest, f"/retrain-requests/{_segment(request)}")

    def sketches(self, device: DeviceId) -> tuple[Sketch, ...]:
        """Return the device's newest windows, newest first."""
        return self._many(Sketch, f"/sketches?{urlencode({'device': device})}")

    def _one(self, kind: type[Value], path: str) -> Value:
        return _read(kind, self._connection.get_json(API + path), path)

    def _many(self, kind: type[Value], path: str) -> tuple[Value, ...]:
        plain = self._connection.get_json(API + path)
        if not isinstance(plain, list):
            raise ServerConfusing(f"the answer to {path} is no list; is the server of another version?")
        return tuple(_read(kind, item, path) for item in plain)

    def _sent(self, kind: type[Value], path: str, message: object) -> Value:
        return _read(kind, self._connection.send_json("POST", API + path, message), path)


def _segment(text: str) -> str:
    return quote(text, safe="@")


def _read(kind: type[Value], plain: object, path: str) -> Value:
    try:
        return from_plain(kind, plain)
    except DecodeError as error:
        raise ServerConfusing(
            f"the answer to {path} cannot be read ({error}); is the server of another version?"
        ) from error
