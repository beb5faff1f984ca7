"""Telling a device what to run, and hearing what came of it.

An ``Offer`` is level-triggered: the newest one (highest generation) is retained on the device's
topic and states what the device should run now. It carries no trust [wire-4.2]: the agent runs only what
the signed metadata name. ``UpdateReport`` is the device's account of one attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contracts.ids import ModelName, ReleaseId, RolloutId


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Server to device: the release of ``model`` that it should run now.

    ``generation`` grows with each offer to the device; ``attempt`` counts offers of one rollout to
    it; ``max_bytes_s`` bounds the download (0: no bound).
    """

    generation: int
    model: ModelName
    release: ReleaseId
    rollout: RolloutId
    attempt: int
    max_bytes_s: int = 0
    schema: int = 1


class UpdateState(StrEnum):
    """How far one device is with one offer, as the server sees it."""

    QUEUED = "queued"
    """Not offered yet."""
    OFFERED = "offered"
    """Offer sent, nothing heard."""
    DOWNLOADING = "downloading"
    """Metadata verified, chunks on their way."""
    VERIFYING = "verifying"
    """All bytes there, digests and manifest being checked."""
    INSTALLING = "installing"
    """Verified, being written to the spare slot and switched to."""
    PROBATION = "probation"
    """Switched; proving itself on the golden inputs and under load."""
    HEALTHY = "healthy"
    """Kept. Final."""
    REFUSED = "refused"
    """Not trusted or not for this device; nothing was installed. Final."""
    FAILED = "failed"
    """Could not be fetched or installed; the previous release runs. Final."""
    ROLLED_BACK = "rolled_back"
    """Ran and was taken back: by the device itself or on the server's word. Final."""
    TIMED_OUT = "timed_out"
    """Nothing final heard in time. Final for the rollout."""
    CANCELLED = "cancelled"
    """Withdrawn before it began. Final."""

    @property
    def is_final(self) -> bool:
        """Whether the attempt is over."""
        return self in _FINAL

    @property
    def is_failure(self) -> bool:
        """Whether it counts against the rollout."""
        return self in _FAILURES


_FINAL = frozenset(
    {
        UpdateState.HEALTHY,
        UpdateState.REFUSED,
        UpdateState.FAILED,
        UpdateState.ROLLED_BACK,
        UpdateState.TIMED_OUT,
        UpdateState.CANCELLED,
    }
)
_FAILURES = frozenset({UpdateState.REFUSED, UpdateState.FAILED, UpdateState.ROLLED_BACK, UpdateState.TIMED_OUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport:
    """Device to server: where it stands with one offer.

    ``code`` is the stable word of the error (empty where all is well), ``detail`` its sentence;
    ``running`` is what serves now, whatever was offered (empty string: nothing yet).
    ``chunks_done`` of ``chunks_total`` are verified and on disk.
    """

    rollout: RolloutId
    generation: int
    attempt: int
    release: ReleaseId
    state: UpdateState
    running: str
    at: datetime
    code: str = ""
    detail: str = ""
    chunks_done: int = 0
    chunks_total: int = 0
    schema: int = 1
