"""What the pages may ask for: views, never rows. ``stores.StoreReading`` answers from the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.ids import DeviceId, ReleaseId, RolloutId
from contracts.retrain import RetrainRequest
from contracts.sketch import FeatureSketch
from fleet_server.readmodel import (
    AlertView,
    DeviceView,
    OverviewView,
    ReleaseView,
    RolloutView,
    TransferView,
    TrustView,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureOverlay:
    """One feature of one device: its reference and what it is now, under the same bins; ``psi`` between them."""

    name: str
    edges: tuple[float, ...]
    reference: FeatureSketch
    current: FeatureSketch
    psi: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchesView:
    """A device's recent windows under its running release, added up."""

    release: ReleaseId
    windows: int
    rows: int
    started_at: datetime
    ended_at: datetime
    features: tuple[FeatureOverlay, ...]


class Reading(Protocol):
    """Answers the pages' questions for one tenant. Safe to call from several threads."""

    def overview(self) -> OverviewView:
        """Return the figures of the fleet; active rollouts come whole, with their devices."""
        ...

    def devices(self) -> tuple[DeviceView, ...]:
        """Return every device, by id."""
        ...

    def device(self, device: DeviceId) -> DeviceView:
        """Return that device.

        Raises:
            NotFound: there is none of that id.
        """
        ...

    def transfers(self, device: DeviceId) -> tuple[TransferView, ...]:
        """Return how artifacts went to the device, newest first."""
        ...

    def sketches(self, device: DeviceId) -> SketchesView | None:
        """Return what the device saw lately under its running release; None where it sent no window yet."""
        ...

    def rollouts(self) -> tuple[RolloutView, ...]:
        """Return every rollout, newest first."""
        ...

    def rollout(self, rollout: RolloutId) -> RolloutView:
        """Return that rollout, with its devices.

        Raises:
            NotFound: there is none of that id.
        """
        ...

    def trust(self) -> TrustView:
        """Return what is trusted, and until when."""
        ...

    def releases(self) -> tuple[ReleaseView, ...]:
        """Return every release, newest first."""
        ...

    def alerts(self) -> tuple[AlertView, ...]:
        """Return every alert, newest first."""
        ...

    def retrain_request(self, request: str) -> RetrainRequest:
        """Return that retrain request.

        Raises:
            NotFound: there is none of that id.
        """
        ...
