"""A fleet made up for the console: 2,000 devices, a rollout under way, drift.

Everything is drawn from one seed and one clock, so a page looks the same each time.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

from contracts.ids import (
    BootId,
    DeviceId,
    GroupName,
    ModelName,
    ProfileName,
    ReleaseId,
    RolloutId,
    digest_of,
)
from contracts.retrain import MovedFeature, RetrainRequest
from contracts.sketch import FeatureSketch
from contracts.update import UpdateState
from fleet_server.console.reading import FeatureOverlay, SketchesView
from fleet_server.readmodel import (
    AlertKind,
    AlertState,
    AlertView,
    DeviceStatus,
    DeviceView,
    RolloutDeviceView,
    RolloutView,
    TransferView,
    WaveView,
)
from fleet_server.rollouts.spec import GateSpec, RolloutSpec
from fleet_server.rollouts.states import RolloutState, WaveState
from tests.fleet_server.console.fake_fleet import START, FakeFleet, TestClock

DIGITS = ModelName("digits")
GROUPS = ("lyon", "porto", "gdansk", "turin")
PROFILES = ("raspberry-pi-4", "jetson-orin-nano", "stm32h743", "x86-64")
NEW, OLD, OLDER = ReleaseId("digits@1.4.0"), ReleaseId("digits@1.3.2"), ReleaseId("digits@1.2.0")
FAILURES = (
    (UpdateState.ROLLED_BACK, "probation_slow", "p95 of 48 ms is over the budget of 20 ms after 60 runs; 1.3.2 runs"),
    (UpdateState.FAILED, "disk_full", "no space left for 4.2 MB in the spare slot; free some and offer it again"),
    (UpdateState.REFUSED, "profile_mismatch", "the artifact is for stm32h743, this device is a raspberry-pi-4"),
)
EDGES = tuple(round(0.5 + 0.06 * step, 3) for step in range(15))


def a_device(name: str = "pi-0001", **changes: object) -> DeviceView:
    plain = DeviceView(
        id=DeviceId(name),
        group=GroupName("lyon"),
        profile=ProfileName("raspberry-pi-4"),
        status=DeviceStatus.ONLINE,
        last_seen_at=START - timedelta(seconds=8),
        enrolled_at=START - timedelta(days=40),
        agent_version="0.1.0",
        boot=BootId("b7f3a2c1"),
        running={DIGITS: OLD},
        offered=NEW,
        update_state=UpdateState.HEALTHY,
        update_code="",
        update_detail="",
        memory_bytes=48_300_000,
        latency_p50_ms=3.1,
        latency_p95_ms=4.7,
        requests=1800,
        open_alerts=0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields by name, checked by the dataclass


def a_part(name: str, state: UpdateState = UpdateState.QUEUED, **changes: object) -> RolloutDeviceView:
    plain = RolloutDeviceView(
        device=DeviceId(name),
        profile=ProfileName("raspberry-pi-4"),
        wave=0,
        state=state,
        code="",
        detail="",
        chunks_done=0,
        chunks_total=0,
        updated_at=START,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields by name, checked by the dataclass


def a_rollout(parts: tuple[RolloutDeviceView, ...] = (), **changes: object) -> RolloutView:
    sizes = Counter(part.wave for part in parts)
    waves = tuple(
        WaveView(
            index=index,
            state=WaveState.OPEN if index == 0 else WaveState.PENDING,
            size=sizes[index],
            counts=Counter(part.state for part in parts if part.wave == index),
            verdict="",
        )
        for index in sorted(sizes)
    )
    plain = RolloutView(
        id=RolloutId("r-118"),
        spec=RolloutSpec(release=NEW, group=GroupName("lyon"), waves=("20", "10%", "40%", "100%")),
        state=RolloutState.RUNNING,
        reason="",
        created_by="ana",
        created_at=START - timedelta(minutes=2),
        finished_at=None,
        waves=waves,
        devices=parts,
        incompatible=(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields by name, checked by the dataclass


def an_alert(name: str = "a-1", **changes: object) -> AlertView:
    plain = AlertView(
        id=name,
        kind=AlertKind.DRIFT,
        state=AlertState.OPEN,
        title="Inputs of digits moved on pi-0007",
        detail="3 of 18 watched inputs left the reference for 2 windows running.",
        device=DeviceId("pi-0007"),
        release=OLD,
        rollout=None,
        moved=(
            MovedFeature(name="image.mean", psi=0.83, reference_mean=4.88, current_mean=7.31),
            MovedFeature(name="image.edges", psi=0.31, reference_mean=2.94, current_mean=2.11),
            MovedFeature(name="image.region-1-1", psi=0.14, reference_mean=9.12, current_mean=10.4),
        ),
        retrain="rt-1",
        opened_at=START - timedelta(minutes=14),
        acknowledged_by=None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields by name, checked by the dataclass


def a_busy_fleet(clock: TestClock, *, devices: int = 2_000, seed: int = 7) -> FakeFleet:
    """Return the fleet of the pictures: a rollout in its second wave of four, drift on some devices."""
    chance = random.Random(seed)
    fleet = FakeFleet(clock)
    parts = tuple(_busy_part(place, devices, chance) for place in range(devices))
    by_device = {part.device: part for part in parts}
    fleet.device_views = [_busy_device(part, chance) for part in parts]
    fleet.rollout_views = [_with_waves(a_rollout(parts)), *_old_rollouts()]
    fleet.alert_views = _busy_alerts()
    fleet.retrain_requests = {"rt-1": a_retrain_request()}
    fleet.transfer_views = [_transfer(part) for part in by_device.values() if part.chunks_total]
    fleet.sketch_views = {DeviceId("pi-0007"): a_sketches_view(chance)}
    return fleet


def a_retrain_request() -> RetrainRequest:
    return RetrainRequest(
        id="rt-1",
        model=DIGITS,
        release=OLD,
        alert="a-1",
        moved=an_alert().moved,
        devices=(DeviceId("pi-0007"), DeviceId("pi-0012"), DeviceId("pi-0031")),
        window_started_at=START - timedelta(hours=3),
        window_ended_at=START - timedelta(minutes=15),
        rows=5_412,
        created_at=START - timedelta(minutes=14),
    )


def a_sketches_view(chance: random.Random) -> SketchesView:
    shifts = {
        "image.mean": 3.1,
        "image.deviation": 0.2,
        "image.edges": 1.4,
        "image.region-1-1": 0.9,
        "image.region-1-2": 0.1,
    }
    return SketchesView(
        release=OLD,
        windows=6,
        rows=5_412,
        started_at=START - timedelta(hours=3),
        ended_at=START - timedelta(minutes=15),
        features=tuple(_overlay(name, shift, chance) for name, shift in shifts.items()),
    )


def _overlay(name: str, shift: float, chance: random.Random) -> FeatureOverlay:
    def sketch(centre: float) -> FeatureSketch:
        counts = [0] * 16
        for _ in range(2_000):
            counts[min(15, max(0, round(chance.gauss(centre, 2.6))))] += 1
        return FeatureSketch(counts=tuple(counts), missing=0, mean=0.5 + centre * 0.06, squares=1.0)

    return FeatureOverlay(name=name, edges=EDGES, reference=sketch(7.5), current=sketch(7.5 + shift), psi=shift * 0.26)


def _busy_part(place: int, devices: int, chance: random.Random) -> RolloutDeviceView:
    wave = next(index for index, share in enumerate((0.01, 0.10, 0.40, 1.0)) if place < share * devices)
    finished = a_part(
        f"pi-{place:04d}",
        UpdateState.HEALTHY,
        wave=wave,
        profile=ProfileName(chance.choice(PROFILES)),
        chunks_done=34,
        chunks_total=34,
        updated_at=START - timedelta(seconds=chance.triangular(0, 115, 20)),
    )
    if wave == 0:
        return finished
    if wave > 1:
        return replace(finished, state=UpdateState.QUEUED, chunks_done=0, chunks_total=0, updated_at=START)
    draw = chance.random()
    if draw < 0.035:
        state, code, detail = chance.choice(FAILURES)
        return replace(finished, state=state, code=code, detail=detail)
    busy = (UpdateState.DOWNLOADING, UpdateState.VERIFYING, UpdateState.INSTALLING, UpdateState.PROBATION)
    if draw < 0.25:
        return replace(finished, state=chance.choice(busy), chunks_done=chance.randrange(34))
    return finished


def _busy_device(part: RolloutDeviceView, chance: random.Random) -> DeviceView:
    offline = chance.random() < 0.02
    older = chance.random() < 0.08
    p50 = chance.uniform(2.0, 9.0)
    return a_device(
        part.device,
        group=GroupName(GROUPS[hash_of(part.device) % len(GROUPS)]),
        profile=part.profile,
        status=DeviceStatus.OFFLINE if offline else DeviceStatus.ONLINE,
        last_seen_at=START - (timedelta(hours=3) if offline else timedelta(seconds=chance.randrange(28))),
        running={DIGITS: NEW if part.state is UpdateState.HEALTHY else OLDER if older else OLD},
        update_state=part.state,
        update_code=part.code,
        update_detail=part.detail,
        latency_p50_ms=p50,
        latency_p95_ms=p50 * 1.4,
        requests=chance.randrange(40, 4000),
        open_alerts=int(part.device in ("pi-0007", "pi-0012")),
    )


def hash_of(text: str) -> int:
    return int(digest_of(text.encode())[:8], 16)


def _with_waves(rollout: RolloutView) -> RolloutView:
    states = (WaveState.PASSED, WaveState.OPEN, WaveState.PENDING, WaveState.PENDING)
    verdicts = ("20 of 20 healthy; class mix 0.04 from the control's", "", "", "")
    waves = tuple(
        replace(wave, state=state, verdict=verdict)
        for wave, state, verdict in zip(rollout.waves, states, verdicts, strict=True)
    )
    gate = GateSpec(max_failed_ratio=0.05, min_devices=20)
    spec = replace(rollout.spec, gate=gate)
    return replace(rollout, waves=waves, spec=spec, incompatible=(DeviceId("mcu-0001"), DeviceId("mcu-0002")))


def _old_rollouts() -> list[RolloutView]:
    parts = tuple(
        a_part(f"pi-{place:04d}", UpdateState.HEALTHY, updated_at=START - timedelta(days=9)) for place in range(40)
    )
    spec = RolloutSpec(release=OLD, group=GroupName("porto"), waves=("100%",))
    done = a_rollout(
        parts,
        id=RolloutId("r-117"),
        spec=spec,
        state=RolloutState.COMPLETED,
        created_at=START - timedelta(days=9, hours=1),
        finished_at=START - timedelta(days=9),
    )
    back = tuple(replace(part, state=UpdateState.ROLLED_BACK, code="probation_slow") for part in parts[:1])
    halted = replace(
        done,
        id=RolloutId("r-116"),
        spec=replace(spec, release=ReleaseId("digits@1.3.1")),
        state=RolloutState.ROLLED_BACK,
        reason="wave 1 failed: 1 of 1 devices rolled back by itself (probation_slow)",
        devices=back,
    )
    return [done, halted]


def _busy_alerts() -> list[AlertView]:
    refusal = an_alert(
        "a-2",
        kind=AlertKind.REFUSAL,
        title="pi-0133 refused digits@1.4.0",
        detail="signature of targets.json is not by a key that root 3 names (code bad_signature).",
        device=DeviceId("pi-0133"),
        release=NEW,
        moved=(),
        retrain=None,
        opened_at=START - timedelta(hours=2),
    )
    gate = an_alert(
        "a-3",
        kind=AlertKind.ROLLOUT,
        title="Rollout r-116 was rolled back",
        detail="wave 1 failed: 1 of 1 devices rolled back by itself (probation_slow)",
        device=None,
        rollout=RolloutId("r-116"),
        release=ReleaseId("digits@1.3.1"),
        moved=(),
        retrain=None,
        state=AlertState.ACKNOWLEDGED,
        acknowledged_by="ana",
        opened_at=START - timedelta(days=9),
    )
    return [an_alert(), refusal, gate]


def _transfer(part: RolloutDeviceView) -> TransferView:
    return TransferView(
        device=part.device,
        artifact=digest_of(part.profile.encode()),
        release=NEW,
        chunks=part.chunks_total,
        requested=part.chunks_done,
        distinct=part.chunks_done,
        repeated_verified=0,
        published_bytes=0,
        started_at=START - timedelta(minutes=2),
        updated_at=part.updated_at,
    )
