"""When somebody has to sign anew: pure.

Devices install nothing new by metadata that expired. What the server signs it renews by itself; for what people sign
it says so 30 and 7 days ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

STAGES_DAYS = (30, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRole:
    """One role's newest file that people signed; ``renewed_by`` is the command that signs the next one."""

    name: str
    version: int
    expires: datetime
    renewed_by: str


def stages_reached(role: SignedRole, now: datetime) -> tuple[int, ...]:
    """Return the stages, in days before the expiry, that have begun."""
    return tuple(days for days in STAGES_DAYS if now >= role.expires - timedelta(days=days))


def describe(role: SignedRole, now: datetime) -> str:
    """Say when the role expires, and what to do once that is near."""
    left = role.expires - now
    said = f"version {role.version}, expires {role.expires:%Y-%m-%d}"
    if left <= timedelta(0):
        return f"{said}: expired, devices install nothing new; sign it anew with '{role.renewed_by}'"
    if stages_reached(role, now):
        return f"{said}, in {left.days} days; sign it anew with '{role.renewed_by}'"
    return said
