"""What a server says when a device asks for a delta: there is one, not yet, or none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeltaState(StrEnum):
    """Whether a delta between two artifacts can be fetched."""

    READY = "ready"
    LATER = "later"
    """It is being made: ask again, or fetch the whole artifact."""
    NONE = "none"
    """There will be none: fetch the whole artifact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaNews:
    """Server to device: the answer's data to a request for a delta.

    ``base`` and ``target`` are the digests of the two artifacts. With ``ready``, ``index`` is the digest of the delta's
    own chunk index and ``length`` its bytes; its chunks travel like any others. What it leads to is checked by the
    signed digest, so the news need no trust.
    """

    base: str
    target: str
    state: DeltaState
    index: str = ""
    length: int = 0
    schema: int = 1
