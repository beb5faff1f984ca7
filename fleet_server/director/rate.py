"""How often each device may have something signed: a token bucket of its own, in this process's memory."""

from __future__ import annotations

import threading
from datetime import datetime

from contracts.ids import DeviceId, TenantId

PER_S = 1.0
BURST = 10.0
KEPT = 50_000
"""Devices remembered; of more, those that asked longest ago are forgotten, and begin with a full bucket."""


class Rate:
    """One bucket a device: full it holds BURST answers, and it fills with PER_S."""

    def __init__(self) -> None:
        """Start with every bucket full."""
        self._buckets: dict[tuple[TenantId, DeviceId], tuple[float, datetime]] = {}
        self._lock = threading.Lock()

    def take(self, tenant: TenantId, device: DeviceId, now: datetime) -> bool:
        """Take one answer out of the device's bucket; False where it is empty."""
        with self._lock:
            left, since = self._buckets.pop((tenant, device), (BURST, now))
            left = min(BURST, left + max(0.0, (now - since).total_seconds()) * PER_S)
            is_granted = left >= 1.0
            self._buckets[tenant, device] = (left - 1.0 if is_granted else left, now)
            if len(self._buckets) > KEPT:
                del self._buckets[next(iter(self._buckets))]
            return is_granted
