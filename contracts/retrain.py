"""A retrain request: the loop's last arrow, back to the people who train."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from contracts.ids import DeviceId, ModelName, ReleaseId


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedFeature:
    """One input that moved: how far (PSI, population stability index) and what it was and is."""

    name: str
    psi: float
    reference_mean: float
    current_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainRequest:
    """What to retrain and on what evidence; an alert made it."""

    id: str
    model: ModelName
    release: ReleaseId
    alert: str
    moved: tuple[MovedFeature, ...]
    devices: tuple[DeviceId, ...]
    window_started_at: datetime
    window_ended_at: datetime
    rows: int
    created_at: datetime
    schema: int = 1
