"""The API of devices and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends

from contracts.enrollment import EnrollmentToken
from contracts.ids import parse_device_id, parse_group_name
from fleet_server.database.session import reading, transaction
from fleet_server.devices import enrollment_store, store, transfers
from fleet_server.identity import store as identity
from fleet_server.people.routes import CurrentUser, Operator
from fleet_server.people.store import record_act
from fleet_server.readmodel import DeviceStatus, DeviceView, GroupView, TransferView
from fleet_server.wiring import Wiring, wiring_of

router = APIRouter()
Shared = Annotated[Wiring, Depends(wiring_of)]


@dataclass(frozen=True, kw_only=True)
class NewGroup:
    """A group to make."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    name: str


@dataclass(frozen=True, kw_only=True)
class NewEnrollmentToken:
    """A token to make: how many devices it lets into which group, for how many seconds."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    group: str
    uses: int = 1
    ttl_s: int = 3600


@dataclass(frozen=True, kw_only=True)
class EnrollmentTokenAnswer:
    """The token, shown this once."""

    token: str


@router.post("/enrollment-tokens")
def create_enrollment_token(body: NewEnrollmentToken, wiring: Shared, user: Operator) -> EnrollmentTokenAnswer:
    """Make a token."""
    now = wiring.clock.now()
    group = parse_group_name(body.group)
    with transaction(wiring.engine) as session:
        token = enrollment_store.create_enrollment_token(
            session, user.tenant, group, uses=body.uses, ttl_s=body.ttl_s, actor=user.name, now=now
        )
        detail = f"{body.uses} uses, {body.ttl_s} s"
        record_act(
            session, user.tenant, actor=user.name, action="enrollment-token.create", thing=group, now=now, detail=detail
        )
    whole = EnrollmentToken(secret=token, fingerprint=wiring.authority.fingerprint)
    return EnrollmentTokenAnswer(token=str(whole))


@router.get("/devices")
def list_devices(
    wiring: Shared, user: CurrentUser, group: str | None = None, status: DeviceStatus | None = None
) -> list[DeviceView]:
    """List devices by name."""
    wanted = parse_group_name(group) if group else None
    with reading(wiring.engine) as session:
        return list(
            store.list_devices(
                session,
                user.tenant,
                wiring.clock.now(),
                group=wanted,
                status=status,
                offline_after_s=wiring.config.offline_after_s,
            )
        )


@router.get("/devices/{device}")
def get_device(device: str, wiring: Shared, user: CurrentUser) -> DeviceView:
    """Show one device."""
    with reading(wiring.engine) as session:
        return store.get_device(
            session,
            user.tenant,
            parse_device_id(device),
            now=wiring.clock.now(),
            offline_after_s=wiring.config.offline_after_s,
        )


@router.post("/devices/{device}/revoke")
def revoke_device(device: str, wiring: Shared, user: Operator) -> DeviceView:
    """Let the device's certificates, reports and requests count no more, for ever."""
    name, now = parse_device_id(device), wiring.clock.now()
    with transaction(wiring.engine) as session:
        identity.revoke_device(session, user.tenant, name, now)
        record_act(session, user.tenant, actor=user.name, action="device.revoke", thing=name, now=now)
        return store.get_device(session, user.tenant, name, now=now, offline_after_s=wiring.config.offline_after_s)


@router.get("/devices/{device}/transfers")
def list_transfers(device: str, wiring: Shared, user: CurrentUser) -> list[TransferView]:
    """Show how chunks went to one device."""
    with reading(wiring.engine) as session:
        return list(transfers.list_transfers(session, user.tenant, parse_device_id(device)))


@router.get("/groups")
def list_groups(wiring: Shared, user: CurrentUser) -> list[GroupView]:
    """List groups by name."""
    with reading(wiring.engine) as session:
        return list(
            store.list_groups(session, user.tenant, wiring.clock.now(), offline_after_s=wiring.config.offline_after_s)
        )


@router.post("/groups")
def create_group(body: NewGroup, wiring: Shared, user: Operator) -> GroupView:
    """Make a group."""
    name = parse_group_name(body.name)
    now = wiring.clock.now()
    with transaction(wiring.engine) as session:
        store.create_group(session, user.tenant, name, now)
        record_act(session, user.tenant, actor=user.name, action="group.create", thing=name, now=now)
    return GroupView(name=name, devices=0, online=0)
