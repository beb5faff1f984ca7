"""What an operator asks for: a rollout, and when its waves pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.ids import GroupName, ReleaseId


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec:
    """When a wave passes. Shares are of the wave's finished devices; a missing figure is not a pass.

    A wave's healthy devices soak for ``soak_s``; then their sketches of that time are held against
    those of the control devices of the group (still on the previous release), or, where none is
    left or there was no previous release, against the artifact's own reference.
    ``max_class_distance`` is the total variation distance (0..1) of the class mixes;
    ``max_confidence_shift`` that of the confidence histograms; ``max_latency_ratio`` bounds the
    wave's p95 over the control's (only of the same profile). ``min_rows`` inferred rows are needed
    on each side within ``patience_s`` after the soak, else the wave fails for want of evidence (a device
    sends what it saw once in its sketch window, 300 s unless it is told otherwise: allow for several);
    ``min_rows`` 0 switches the comparison off (no traffic is expected).
    """

    max_failed_ratio: float = 0.0
    min_devices: int = 1
    soak_s: float = 60.0
    patience_s: float = 900.0
    min_rows: int = 100
    max_class_distance: float = 0.25
    max_confidence_shift: float = 0.35
    max_latency_ratio: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """What an operator asks for.

    ``waves`` are counts (``"1"``) or cumulative shares (``"25%"``), the last one ``"100%"``.
    ``device_timeout_s`` is how long one device may take from offer to a final state.
    """

    release: ReleaseId
    group: GroupName
    waves: tuple[str, ...] = ("1", "100%")
    gate: GateSpec = field(default_factory=GateSpec)
    max_bytes_s: int = 0
    device_timeout_s: float = 900.0
    roll_back_on_failure: bool = True
