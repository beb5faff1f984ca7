"""Rollouts over HTTP: ask for one, look, and pause, resume, abort or roll back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends

from contracts.ids import parse_group_name, parse_release_id, parse_rollout_id
from fleet_server.database.session import reading, transaction
from fleet_server.people.routes import CurrentUser, Operator
from fleet_server.people.user import User
from fleet_server.readmodel import RolloutView
from fleet_server.rollouts import store
from fleet_server.rollouts.spec import GateSpec, RolloutSpec
from fleet_server.rollouts.states import RolloutEvent
from fleet_server.wiring import Wiring, wiring_of

router = APIRouter(prefix="/rollouts", tags=["rollouts"])
SharedWiring = Annotated[Wiring, Depends(wiring_of)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest(GateSpec):
    """A GateSpec that refuses keys it does not know."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRequest(RolloutSpec):
    """A RolloutSpec that refuses keys it does not know."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    gate: GateRequest = field(default_factory=GateRequest)


@router.get("")
def list_rollouts(wiring: SharedWiring, user: CurrentUser) -> tuple[RolloutView, ...]:
    """Return the newest rollouts, newest first."""
    with reading(wiring.engine) as session:
        return store.list_rollouts(session, user.tenant)


@router.post("")
def create_rollout(request: RolloutRequest, wiring: SharedWiring, user: Operator) -> RolloutView:
    """Begin a rollout."""
    spec = RolloutSpec(
        release=parse_release_id(request.release),
        group=parse_group_name(request.group),
        waves=request.waves,
        gate=request.gate,
        max_bytes_s=request.max_bytes_s,
        device_timeout_s=request.device_timeout_s,
        roll_back_on_failure=request.roll_back_on_failure,
    )
    with transaction(wiring.engine) as session:
        return store.create_rollout(session, user.tenant, spec, created_by=user.name, now=wiring.clock.now())


@router.get("/{rollout}")
def get_rollout(rollout: str, wiring: SharedWiring, user: CurrentUser) -> RolloutView:
    """Return the rollout, whole."""
    with reading(wiring.engine) as session:
        return store.get_rollout(session, user.tenant, parse_rollout_id(rollout))


@router.post("/{rollout}/pause")
def pause_rollout(rollout: str, wiring: SharedWiring, user: Operator) -> RolloutView:
    """Let no further wave open; devices at work finish."""
    return _change(rollout, RolloutEvent.PAUSE, wiring, user=user)


@router.post("/{rollout}/resume")
def resume_rollout(rollout: str, wiring: SharedWiring, user: Operator) -> RolloutView:
    """Let waves open again."""
    return _change(rollout, RolloutEvent.RESUME, wiring, user=user)


@router.post("/{rollout}/abort")
def abort_rollout(rollout: str, wiring: SharedWiring, user: Operator) -> RolloutView:
    """End the rollout; devices stay as they are."""
    return _change(rollout, RolloutEvent.ABORT, wiring, user=user)


@router.post("/{rollout}/rollback")
def roll_back_rollout(rollout: str, wiring: SharedWiring, user: Operator) -> RolloutView:
    """Offer the devices that were offered the release the one they had before."""
    return _change(rollout, RolloutEvent.ROLLBACK, wiring, user=user)


def _change(rollout: str, event: RolloutEvent, wiring: Wiring, *, user: User) -> RolloutView:
    with transaction(wiring.engine) as session:
        return store.change_rollout(
            session, user.tenant, parse_rollout_id(rollout), event, by=user.name, now=wiring.clock.now()
        )
