"""How the serving went: for the next heartbeat, and for Prometheus.

Percentiles are exact over the latest ``KEPT`` requests since the last heartbeat; histograms are over the
process's life. Safe to use from several threads.

>>> meter = Meter()
>>> meter.answered("digits@1", 2.5)
>>> meter.take()
MeterReading(requests=1, errors=0, latency_p50_ms=2.5, latency_p95_ms=2.5)
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from contracts.sketch import LATENCY_EDGES_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.ids import ReleaseId

KEPT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """What happened since the last reading; latencies are 0 where nothing was answered.

    ``errors`` are requests that failed inside the agent; those refused as wrong are not counted at all.
    """

    requests: int
    errors: int
    latency_p50_ms: float
    latency_p95_ms: float


@dataclass(slots=True)
class _Totals:
    """One release's counts since the process began."""

    failed: int = 0
    total_ms: float = 0.0
    bins: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_MS) + 1))


class Meter:
    """Counts requests by what came of them, and their latencies."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._totals: dict[ReleaseId, _Totals] = {}
        self._refused = 0
        self._latencies_ms: deque[float] = deque(maxlen=KEPT)
        self._requests = 0
        self._errors = 0

    def answered(self, release: ReleaseId, latency_ms: float) -> None:
        """Count one request that the release answered."""
        with self._lock:
            totals = self._totals_of(release)
            totals.bins[bisect_left(LATENCY_EDGES_MS, latency_ms)] += 1
            totals.total_ms += latency_ms
            self._latencies_ms.append(latency_ms)
            self._requests += 1

    def failed(self, release: ReleaseId) -> None:
        """Count one request that failed inside the agent."""
        with self._lock:
            self._totals_of(release).failed += 1
            self._requests += 1
            self._errors += 1

    def refused(self) -> None:
        """Count one request that was the client's mistake."""
        with self._lock:
            self._refused += 1

    def take(self) -> MeterReading:
        """Return what happened since the last call, and begin anew."""
        with self._lock:
            latencies_ms, requests, errors = tuple(self._latencies_ms), self._requests, self._errors
            self._latencies_ms.clear()
            self._requests = self._errors = 0
        p50, p95 = np.percentile(latencies_ms, (50, 95)) if latencies_ms else (0.0, 0.0)
        return MeterReading(requests=requests, errors=errors, latency_p50_ms=float(p50), latency_p95_ms=float(p95))

    def prometheus_text(self) -> str:
        """Return the totals since the process began, in Prometheus' text format."""
        with self._lock:
            return "\n".join(self._lines()) + "\n"

    def _totals_of(self, release: ReleaseId) -> _Totals:
        totals = self._totals.get(release)
        if totals is None:
            totals = self._totals[release] = _Totals()
        return totals

    def _lines(self) -> Iterator[str]:
        yield "# HELP edgeship_inference_refused_total Requests refused as wrong."
        yield "# TYPE edgeship_inference_refused_total counter"
        yield f"edgeship_inference_refused_total {self._refused}"
        yield "# HELP edgeship_inference_failed_total Requests that failed inside the agent."
        yield "# TYPE edgeship_inference_failed_total counter"
        for release, totals in self._totals.items():
            yield f'edgeship_inference_failed_total{{release="{release}"}} {totals.failed}'
        yield "# HELP edgeship_inference_latency_seconds Time from a request's turn to its answer made."
        yield "# TYPE edgeship_inference_latency_seconds histogram"
        for release, totals in self._totals.items():
            yield from _histogram("edgeship_inference_latency_seconds", release, totals)


def _histogram(name: str, release: ReleaseId, totals: _Totals) -> Iterator[str]:
    running = list(accumulate(totals.bins))
    for edge_ms, count in zip(LATENCY_EDGES_MS, running, strict=False):
        yield f'{name}_bucket{{release="{release}",le="{edge_ms / 1000:.8g}"}} {count}'
    yield f'{name}_bucket{{release="{release}",le="+Inf"}} {running[-1]}'
    yield f'{name}_sum{{release="{release}"}} {totals.total_ms / 1000:.9g}'
    yield f'{name}_count{{release="{release}"}} {running[-1]}'
