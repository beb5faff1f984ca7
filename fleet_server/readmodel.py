"""What the API answers and the console shows: plain values, made by the stores, in the glossary's words.

The JSON API returns these dataclasses as they are; ``edgeship fleet`` prints them; the console's
templates read them. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contracts.ids import (
    BootId,
    DeviceId,
    Digest,
    GroupName,
    ModelName,
    ProfileName,
    ReleaseId,
    RolloutId,
)
from contracts.retrain import MovedFeature
from contracts.update import UpdateState
from fleet_server.rollouts.spec import RolloutSpec
from fleet_server.rollouts.states import RolloutState, WaveState


class DeviceStatus(StrEnum):
    """Whether the device is heard of."""

    ENROLLED = "enrolled"
    ONLINE = "online"
    OFFLINE = "offline"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """One device. ``running`` is its own last word; ``update_*`` the newest update it was offered."""

    id: DeviceId
    group: GroupName
    profile: ProfileName
    status: DeviceStatus
    last_seen_at: datetime | None
    enrolled_at: datetime
    agent_version: str
    boot: BootId | None
    running: Mapping[ModelName, ReleaseId]
    offered: ReleaseId | None
    update_state: UpdateState | None
    update_code: str
    update_detail: str
    memory_bytes: int
    latency_p50_ms: float
    latency_p95_ms: float
    requests: int
    open_alerts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferView:
    """How one artifact's chunks went to one device.

    ``requested`` counts chunks asked for in all, ``distinct`` different ones,
    ``repeated_verified`` those asked for again after the device had said it holds them verified;
    ``published_bytes`` are the bytes of chunks that the server gave to the broker for it;
    ``release`` is the one that the artifact is of, none where it is not known. Where the chunks are those of a delta,
    ``by_delta`` is true and ``saved_bytes`` is what the whole artifact has more than it and what was sent beside it.
    """

    device: DeviceId
    artifact: Digest
    release: ReleaseId | None = None
    chunks: int
    requested: int
    distinct: int
    repeated_verified: int
    published_bytes: int
    by_delta: bool = False
    saved_bytes: int = 0
    started_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """One group of devices."""

    name: GroupName
    devices: int
    online: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedArtifactView:
    """One artifact of a release."""

    profile: ProfileName
    digest: Digest
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseView:
    """One published release; ``running_on`` counts devices that say they run it.

    ``barred`` says why it may not be offered any more: it was revoked, or is below the security floor.
    """

    id: ReleaseId
    counter: int
    published_at: datetime
    artifacts: tuple[ReleasedArtifactView, ...]
    running_on: int
    barred: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDeviceView:
    """One device's part in a rollout."""

    device: DeviceId
    profile: ProfileName
    wave: int
    state: UpdateState
    code: str
    detail: str
    chunks_done: int
    chunks_total: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveView:
    """One wave: its size, how many devices are in each state, and what its gate said."""

    index: int
    state: WaveState
    size: int
    counts: Mapping[UpdateState, int]
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """One rollout, whole. ``reason`` says in words why it is not simply running."""

    id: RolloutId
    spec: RolloutSpec
    state: RolloutState
    reason: str
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    waves: tuple[WaveView, ...]
    devices: tuple[RolloutDeviceView, ...]
    incompatible: tuple[DeviceId, ...]


class AlertKind(StrEnum):
    """What an alert is about."""

    DRIFT = "drift"
    ROLLOUT = "rollout"
    REFUSAL = "refusal"
    """A device refused what it was offered as not trustworthy."""
    TRUST = "trust"
    """Signed metadata expire, or a device runs what was revoked."""


class AlertState(StrEnum):
    """Whether someone has to look."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """One alert; ``moved`` names the inputs of a drift alert, ``retrain`` its request."""

    id: str
    kind: AlertKind
    state: AlertState
    title: str
    detail: str
    device: DeviceId | None
    release: ReleaseId | None
    rollout: RolloutId | None
    moved: tuple[MovedFeature, ...]
    retrain: str | None
    opened_at: datetime
    acknowledged_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRoleView:
    """One role that people sign: the newest version here, and the command that renews it before it expires."""

    name: str
    version: int
    expires_at: datetime
    renewed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustView:
    """What the server trusts: roles of both repositories, the security floor of each model, and its own keys.

    ``server_keys`` are the ids of the server's keys that each repository's root names.
    """

    roles: tuple[SignedRoleView, ...]
    floors: Mapping[ModelName, int]
    server_keys: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewView:
    """The four numbers, and what is behind them."""

    devices: int
    online: int
    failing: int
    active_rollouts: tuple[RolloutView, ...]
    open_alerts: tuple[AlertView, ...]
    versions: Mapping[ReleaseId, int]
