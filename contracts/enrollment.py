"""How a device joins: a one-time token for an identity, over HTTP (JSON)."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.ids import DeviceId, GroupName, ProfileName, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentRequest:
    """Device to server. ``public_key`` is the raw ed25519 key, 64 hexadecimal characters."""

    token: str
    device: DeviceId
    profile: ProfileName
    public_key: str
    agent_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentAnswer:
    """Server to device: who it is now and where its broker listens."""

    tenant: TenantId
    device: DeviceId
    group: GroupName
    broker_host: str
    broker_port: int
