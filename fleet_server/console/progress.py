"""What the rollout page says beyond the view itself: how far, how fast, why not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from contracts.ids import DeviceId
from contracts.update import UpdateState
from fleet_server.console.words import LETTERS, face
from fleet_server.readmodel import RolloutDeviceView, RolloutView, WaveView
from fleet_server.rollouts.states import WaveState

SPEED_WINDOW_S = 60
BAR_WIDTH = 1000
LEAST_WIDTH = 4
"""A segment is never thinner than this of 1000, so that one failure of thousands is seen."""
BUCKETS = 40
_BUCKET_SIZES_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 21_600, 86_400)
_X_UNITS = ((172_800, 86_400, "d"), (10_800, 3_600, "h"), (180, 60, "min"), (0, 1, "s"))
"""From which span on (s) the x axis counts in which unit (s, name)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One part of a stacked bar, in units of a bar 1000 wide."""

    tone: str
    word: str
    count: int
    start: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rollout is. ``speed_per_s`` is devices finished a second over the last minute."""

    total: int
    healthy: int
    failed: int
    finished: int
    counts: Mapping[UpdateState, int]
    speed_per_s: float
    left: timedelta | None
    wave: WaveView | None

    @property
    def done_ratio(self) -> float:
        """Share of devices that have finished, 0..1."""
        return self.finished / self.total if self.total else 0.0

    @property
    def healthy_ratio(self) -> float:
        """Share of devices that run the release in good health, 0..1."""
        return self.healthy / self.total if self.total else 0.0

    @property
    def failed_ratio(self) -> float:
        """Share of the finished devices that failed, 0..1: what the gate looks at."""
        return self.failed / self.finished if self.finished else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Failures of one kind."""

    state: UpdateState
    code: str
    detail: str
    devices: tuple[DeviceId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Devices that became healthy, or failed, in each ``bucket_s``; ``x`` counts in ``x_unit`` from the start."""

    bucket_s: int
    x_unit: str
    x: tuple[float, ...]
    healthy: tuple[int, ...]
    failed: tuple[int, ...]


def in_order(devices: Iterable[RolloutDeviceView]) -> tuple[RolloutDeviceView, ...]:
    """Return the devices by wave, then by id: the order of the grid."""
    return tuple(sorted(devices, key=lambda part: (part.wave, part.device)))


def cells(devices: Iterable[RolloutDeviceView]) -> str:
    """Return one letter for each device, in the grid's order."""
    return "".join(LETTERS[part.state] for part in in_order(devices))


def progress(rollout: RolloutView, now: datetime) -> Progress:
    """Return how far the rollout is at that moment."""
    tally = Counter(part.state for part in rollout.devices)
    counts = {state: tally[state] for state in UpdateState if tally[state]}
    finished = sum(count for state, count in counts.items() if state.is_final)
    recent = now - timedelta(seconds=SPEED_WINDOW_S)
    lately = sum(part.state.is_final and part.updated_at >= recent for part in rollout.devices)
    window_s = min(SPEED_WINDOW_S, max(1.0, (now - rollout.created_at).total_seconds()))
    speed = lately / window_s if rollout.finished_at is None else 0.0
    wave = next((wave for wave in rollout.waves if wave.state in (WaveState.OPEN, WaveState.SOAKING)), None)
    return Progress(
        total=len(rollout.devices),
        healthy=counts.get(UpdateState.HEALTHY, 0),
        failed=sum(count for state, count in counts.items() if state.is_failure),
        finished=finished,
        counts=counts,
        speed_per_s=speed,
        left=_left(wave, speed),
        wave=wave,
    )


def _left(wave: WaveView | None, speed_per_s: float) -> timedelta | None:
    """Return the open wave's remaining time at that speed; later waves wait for a gate, so nobody knows theirs."""
    if wave is None or wave.state is not WaveState.OPEN or not speed_per_s:
        return None
    waiting = sum(count for state, count in wave.counts.items() if not state.is_final)
    return timedelta(seconds=waiting / speed_per_s)


def up_to(waves: Sequence[WaveView]) -> tuple[float, ...]:
    """Return for each wave which share of all devices (0..1) it and those before it hold."""
    sizes = list(accumulate(wave.size for wave in waves))
    return tuple(size / sizes[-1] if sizes[-1] else 0.0 for size in sizes)


def segments(counts: Mapping[UpdateState, int]) -> tuple[Segment, ...]:
    """Return the stacked bar: what is finished well first, then failures, then work from late to early."""
    order = (
        UpdateState.HEALTHY,
        UpdateState.ROLLED_BACK,
        UpdateState.FAILED,
        UpdateState.REFUSED,
        UpdateState.TIMED_OUT,
        UpdateState.PROBATION,
        UpdateState.INSTALLING,
        UpdateState.VERIFYING,
        UpdateState.DOWNLOADING,
        UpdateState.OFFERED,
        UpdateState.CANCELLED,
        UpdateState.QUEUED,
    )
    return stack([(face(state).tone, face(state).word, counts[state]) for state in order if counts.get(state)])


def stack(parts: Sequence[tuple[str, str, int]]) -> tuple[Segment, ...]:
    """Return segments for parts of (tone, word, count) that together fill the bar."""
    total = sum(count for _, _, count in parts)
    if not total:
        return ()
    widths = [max(LEAST_WIDTH, BAR_WIDTH * count / total) for _, _, count in parts]
    scale, start, made = BAR_WIDTH / sum(widths), 0.0, []
    for (tone, word, count), width in zip(parts, widths, strict=True):
        made.append(Segment(tone=tone, word=word, count=count, start=round(start, 2), width=round(width * scale, 2)))
        start += width * scale
    return tuple(made)


def causes(devices: Iterable[RolloutDeviceView]) -> tuple[Cause, ...]:
    """Return failures grouped by state and code, the most frequent first; the first detail stands for its group."""
    groups: dict[tuple[UpdateState, str], list[RolloutDeviceView]] = {}
    for part in in_order(devices):
        if part.state.is_failure:
            groups.setdefault((part.state, part.code), []).append(part)
    found = [
        Cause(state=state, code=code, detail=parts[0].detail, devices=tuple(part.device for part in parts))
        for (state, code), parts in groups.items()
    ]
    return tuple(sorted(found, key=lambda cause: (-len(cause.devices), cause.code)))


def throughput(rollout: RolloutView, now: datetime) -> Throughput:
    """Return how many devices became healthy, or failed, in each bucket from the start to the end, or to now."""
    span_s = max(1.0, ((rollout.finished_at or now) - rollout.created_at).total_seconds())
    bucket_s = next((size for size in _BUCKET_SIZES_S if span_s / size <= BUCKETS), _BUCKET_SIZES_S[-1])
    # the bucket that is still filling is left out: it would read as a fall
    buckets = max(2, int(span_s // bucket_s) + (rollout.finished_at is not None))
    healthy, failed = [0] * buckets, [0] * buckets
    for part in rollout.devices:
        bucket = int((part.updated_at - rollout.created_at).total_seconds() // bucket_s)
        if 0 <= bucket < buckets:
            healthy[bucket] += part.state is UpdateState.HEALTHY
            failed[bucket] += part.state.is_failure
    unit_s, x_unit = next((unit_s, name) for least_s, unit_s, name in _X_UNITS if span_s >= least_s)
    return Throughput(
        bucket_s=bucket_s,
        x_unit=x_unit,
        x=tuple(bucket * bucket_s / unit_s for bucket in range(buckets)),
        healthy=tuple(healthy),
        failed=tuple(failed),
    )
