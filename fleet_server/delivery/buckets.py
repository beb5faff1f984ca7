"""How fast chunks go out: a token bucket for each device, each site and each tenant, all of which must have room.

Whoever finds no room waits; nothing is dropped for it. A bucket holds a quarter of a second or one chunk.

>>> from contracts.ids import DeviceId, TenantId
>>> buckets = Buckets(DeliveryConfig(device_bytes_s=100_000))
>>> pi = Recipient(tenant=TenantId("default"), site="lab", device=DeviceId("pi-1"))
>>> buckets.take(pi, 100_000, now_s=0.0), buckets.take(pi, 72_880, now_s=0.0)
(0.0, 0.5)
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from contracts.chunks import MAX_CHUNK_BYTES
from fleet_server.config import DeliveryConfig
from fleet_server.delivery.recipient import Recipient

BURST_S = 0.25
BUCKETS_LIMIT = 20_000


@dataclass(slots=True)
class _Bucket:
    bytes_s: int
    level: float
    filled_at_s: float

    @property
    def room(self) -> float:
        return max(self.bytes_s * BURST_S, float(MAX_CHUNK_BYTES))

    def fill(self, now_s: float) -> None:
        self.level = min(self.room, self.level + max(0.0, now_s - self.filled_at_s) * self.bytes_s)
        self.filled_at_s = now_s


class Buckets:
    """The buckets that are not full; every method may be called from any thread."""

    def __init__(self, rates: DeliveryConfig) -> None:
        """Start with every bucket full."""
        self._rates = rates
        self._buckets: dict[tuple[str, ...], _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, recipient: Recipient, length: int, *, now_s: float) -> float:
        """Take that many bytes out of all three buckets and return 0, or none out of any and return when to ask again.

        The answer is in seconds from now.
        """
        with self._lock:
            mine = [self._bucket(key, rate, now_s) for key, rate in self._keys(recipient) if rate]
            wait_s = max(((length - bucket.level) / bucket.bytes_s for bucket in mine), default=0.0)
            if wait_s > 0:
                return wait_s
            for bucket in mine:
                bucket.level -= length
        return 0.0

    def _keys(self, recipient: Recipient) -> tuple[tuple[tuple[str, ...], int], ...]:
        rates, tenant = self._rates, recipient.tenant
        return (
            (("device", tenant, recipient.device), rates.device_bytes_s),
            (("site", tenant, recipient.site), rates.site_bytes_s),
            (("tenant", tenant), rates.tenant_bytes_s),
        )

    def _bucket(self, key: tuple[str, ...], bytes_s: int, now_s: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= BUCKETS_LIMIT:
                self._forget_full_ones(now_s)
            bucket = self._buckets[key] = _Bucket(bytes_s, 0.0, now_s)
            bucket.level = bucket.room
        bucket.fill(now_s)
        return bucket

    def _forget_full_ones(self, now_s: float) -> None:
        """A full bucket is as good as none."""
        for bucket in self._buckets.values():
            bucket.fill(now_s)
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.level < bucket.room}
