"""When somebody has to sign anew: pure.

Devices install nothing new by metadata that expired. What the server signs it renews by itself; for what people sign
it says so 30 and 7 days ahead.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from fleet_server.readmodel import SignedRoleView

STAGES_DAYS = (30, 7)


def stages_reached(role: SignedRoleView, now: datetime) -> tuple[int, ...]:
    """Return the stages, in days before the expiry, that have begun."""
    return tuple(days for days in STAGES_DAYS if now >= role.expires_at - timedelta(days=days))


def describe(role: SignedRoleView, now: datetime) -> str:
    """Say when the role expires, and what to do once that is near."""
    left = role.expires_at - now
    said = f"version {role.version}, expires {role.expires_at:%Y-%m-%d}"
    if left <= timedelta(0):
        return f"{said}: expired, devices install nothing new; sign it anew with '{role.renewed_by}'"
    if stages_reached(role, now):
        return f"{said}, in {left.days} days; sign it anew with '{role.renewed_by}'"
    return said
