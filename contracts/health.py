"""A device's regular word about itself: what runs, and how it feels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from contracts.ids import ModelName, ProfileName, ReleaseId


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Device to server: the reported truth [wire-3.5]; what was offered never overrides it.

    ``running`` maps each model to the release that serves it. Latencies are of requests since the
    last heartbeat (0 where there were none).
    """

    profile: ProfileName
    agent_version: str
    running: Mapping[ModelName, ReleaseId]
    at: datetime
    uptime_s: float
    memory_bytes: int
    requests: int
    errors: int
    latency_p50_ms: float
    latency_p95_ms: float
    generation: int
    schema: int = 1
