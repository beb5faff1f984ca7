"""What the director signs for one device, beside what TUF itself asks for.

The director's repository of a device holds one target for each model that the device should run, with the path,
length and digest that the model repository states for it. ``Assignment`` stands in its targets, ``TimeAnswer`` in its
timestamp; both name the device, so that nothing signed for one is good for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from contracts.ids import DeviceId, TenantId

ASSIGNMENT_FIELD = "assignment"
TIME_FIELD = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """For whom the targets are, and the generation of the newest offer that they take into account."""

    tenant: TenantId
    device: DeviceId
    generation: int
    schema: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAnswer:
    """The server's time in answer to the device's ``nonce`` (lower-case hexadecimal)."""

    tenant: TenantId
    device: DeviceId
    nonce: str
    at: datetime
    schema: int = 1
