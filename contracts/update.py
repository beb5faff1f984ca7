"""Telling a device what to run, and hearing what came of it.

An ``Offer`` is level-triggered: the newest one (highest generation) is retained on the device's
topic and states what the device should run now. It carries no trust [wire-4.2]: the agent runs only what
the signed metadata name. ``UpdateReport`` is the device's account of one attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contracts.ids import (
    ModelName,
    ReleaseId,
    RolloutId,
    parse_model_name,
    parse_release_id,
    parse_rollout_id,
    split_release_id,
)

GENERATION_LIMIT = 2**53
"""Generations are below it: every language counts so far exactly."""
GENERATION_STEP = 2**32
"""How far above the newest that a device took up an offer may be [wire-4.1]: one forged offer leaves room above it."""
_BYTES_S_LIMIT = 2**40
_ATTEMPTS_LIMIT = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Server to device: the release of ``model`` that it should run now.

    ``generation`` grows with each offer to the device; ``attempt`` counts offers of one rollout to
    it; ``max_bytes_s`` bounds the download (0: no bound). Anybody at the broker may have written an offer,
    so its names and numbers are checked here, before anything is done with them or said about them.
    """

    generation: int
    model: ModelName
    release: ReleaseId
    rollout: RolloutId
    attempt: int
    max_bytes_s: int = 0
    schema: int = 1

    def __post_init__(self) -> None:
        """Refuse names of the wrong form, a release of another model, and numbers out of bounds."""
        parse_model_name(self.model)
        parse_rollout_id(self.rollout)
        if split_release_id(parse_release_id(self.release))[0] != self.model:
            raise ValueError(f"release {self.release} is not one of model {self.model}; offer one that is")
        _check_bounds("generation", self.generation, GENERATION_LIMIT)
        _check_bounds("attempt", self.attempt, _ATTEMPTS_LIMIT)
        _check_bounds("max_bytes_s", self.max_bytes_s, _BYTES_S_LIMIT)


def _check_bounds(name: str, number: int, limit: int) -> None:
    if not 0 <= number < limit:
        raise ValueError(f"{name} {number} is not between 0 and {limit - 1}")


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
