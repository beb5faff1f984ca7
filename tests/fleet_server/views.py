"""Readmodel values for tests of what clients and terminals make of them: one small fleet, in the middle of things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

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
from contracts.sketch import (
    CONFIDENCE_EDGES,
    LATENCY_EDGES_MS,
    Feature,
    FeatureKind,
    FeatureSketch,
    OutputReference,
    Sketch,
    SketchPlan,
    plan_digest,
)
from contracts.update import UpdateState
from fleet_server.readmodel import (
    AlertKind,
    AlertState,
    AlertView,
    DeviceStatus,
    DeviceView,
    GroupView,
    OverviewView,
    ReleasedArtifactView,
    ReleaseView,
    RolloutDeviceView,
    RolloutView,
    TransferView,
    WaveView,
)
from fleet_server.rollouts.spec import GateSpec, RolloutSpec
from fleet_server.rollouts.states import RolloutState, WaveState

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OLD, NEW = ReleaseId("digits@1.0.0"), ReleaseId("digits@1.1.0")
LYON = GroupName("lyon")
ROLLOUT = RolloutId("r-7f3a2b")
PI, CORAL = ProfileName("raspberry-pi-4"), ProfileName("coral-dev-board")


def a_device(name: str = "pi-01", **changes: object) -> DeviceView:
    """Return a device that is online, runs the old release and is fine."""
    device = DeviceView(
        id=DeviceId(name),
        group=LYON,
        profile=PI,
        status=DeviceStatus.ONLINE,
        last_seen_at=NOW - timedelta(seconds=8),
        enrolled_at=NOW - timedelta(days=3),
        agent_version="0.1.0",
        boot=BootId("b-19"),
        running={ModelName("digits"): OLD},
        offered=None,
        update_state=None,
        update_code="",
        update_detail="",
        memory_bytes=61_400_000,
        latency_p50_ms=0.41,
        latency_p95_ms=0.93,
        requests=1797,
        open_alerts=0,
    )
    return replace(device, **changes)  # type: ignore[arg-type]  # a test names fields of DeviceView


def some_devices() -> tuple[DeviceView, ...]:
    """Return four devices: fine, updating, refusing and drifted, gone."""
    return (
        a_device("pi-01", running={ModelName("digits"): NEW}, offered=NEW, update_state=UpdateState.HEALTHY),
        a_device("pi-02", offered=NEW, update_state=UpdateState.DOWNLOADING),
        a_device(
            "pi-workshop-entrance-03",
            offered=NEW,
            update_state=UpdateState.REFUSED,
            update_code="signature",
            update_detail="targets are not signed by the key that root names",
            open_alerts=2,
        ),
        a_device(
            "coral-01",
            profile=CORAL,
            status=DeviceStatus.OFFLINE,
            last_seen_at=NOW - timedelta(hours=5),
            running={},
        ),
    )


def a_rollout(state: RolloutState = RolloutState.RUNNING, *, reason: str = "", devices: int = 12) -> RolloutView:
    """Return a rollout whose canary is through and whose second wave is at work, with two failures."""
    states = [UpdateState.HEALTHY] * 3 + [UpdateState.DOWNLOADING] * 4 + [UpdateState.QUEUED] * (devices - 9)
    parts = [_part(0, UpdateState.HEALTHY, wave=0)]
    parts += [_part(place, state, wave=1) for place, state in enumerate(states, start=1)]
    parts += [
        _part(20, UpdateState.ROLLED_BACK, wave=1, code="latency", detail="p95 9.1 ms, its budget is 2.0 ms"),
        _part(21, UpdateState.REFUSED, wave=1, code="digest", detail="chunk 17 differs from the signed index"),
    ]
    counts: dict[UpdateState, int] = {}
    for part in parts[1:]:
        counts[part.state] = counts.get(part.state, 0) + 1
    return RolloutView(
        id=ROLLOUT,
        spec=RolloutSpec(release=NEW, group=LYON, waves=("1", "100%"), gate=GateSpec(max_failed_ratio=0.05)),
        state=state,
        reason=reason,
        created_by="ana",
        created_at=NOW - timedelta(minutes=4),
        finished_at=None if state is RolloutState.RUNNING else NOW,
        waves=(
            WaveView(
                index=0, state=WaveState.PASSED, size=1, counts={UpdateState.HEALTHY: 1}, verdict="1 of 1 healthy"
            ),
            WaveView(index=1, state=WaveState.OPEN, size=len(parts) - 1, counts=counts, verdict=""),
        ),
        devices=tuple(parts),
        incompatible=(DeviceId("esp-01"),),
    )


def some_releases() -> tuple[ReleaseView, ...]:
    """Return two releases, the newer for two profiles."""
    pi = ReleasedArtifactView(profile=PI, digest=digest_of(b"pi"), length=2_113_204)
    coral = ReleasedArtifactView(profile=CORAL, digest=digest_of(b"coral"), length=98_304)
    return (
        ReleaseView(id=NEW, counter=2, published_at=NOW - timedelta(hours=1), artifacts=(coral, pi), running_on=1),
        ReleaseView(id=OLD, counter=1, published_at=NOW - timedelta(days=9), artifacts=(pi,), running_on=3),
    )


def an_alert(**changes: object) -> AlertView:
    """Return an open drift alert that made a retrain request."""
    alert = AlertView(
        id="a-101",
        kind=AlertKind.DRIFT,
        state=AlertState.OPEN,
        title="image.mean and image.region.5 moved on pi-02",
        detail="",
        device=DeviceId("pi-02"),
        release=OLD,
        rollout=None,
        moved=(
            MovedFeature(name="image.mean", psi=1.314, reference_mean=0.3127, current_mean=0.5218),
            MovedFeature(name="image.region.5", psi=0.42, reference_mean=0.11, current_mean=0.27),
        ),
        retrain="t-55",
        opened_at=NOW - timedelta(minutes=12),
        acknowledged_by=None,
    )
    return replace(alert, **changes)  # type: ignore[arg-type]  # a test names fields of AlertView


def a_retrain_request() -> RetrainRequest:
    """Return the request that the alert made."""
    return RetrainRequest(
        id="t-55",
        model=ModelName("digits"),
        release=OLD,
        alert="a-101",
        moved=an_alert().moved,
        devices=(DeviceId("pi-02"),),
        window_started_at=NOW - timedelta(hours=1),
        window_ended_at=NOW,
        rows=1200,
        created_at=NOW - timedelta(minutes=12),
    )


def an_overview() -> OverviewView:
    """Return the fleet at one glance."""
    return OverviewView(
        devices=4,
        online=3,
        failing=1,
        active_rollouts=(a_rollout(),),
        open_alerts=(an_alert(),),
        versions={OLD: 3, NEW: 1},
    )


def a_group() -> GroupView:
    """Return the group that all are in."""
    return GroupView(name=LYON, devices=4, online=3)


def a_transfer() -> TransferView:
    """Return a finished transfer in which nothing was asked for twice."""
    return TransferView(
        device=DeviceId("pi-01"),
        artifact=digest_of(b"pi"),
        chunks=33,
        requested=36,
        distinct=33,
        repeated_verified=0,
        published_bytes=0,
        started_at=NOW - timedelta(seconds=40),
        updated_at=NOW - timedelta(seconds=31),
    )


def a_plan() -> SketchPlan:
    """Return a plan with one feature that will move and one that will not."""
    edges = tuple(round(0.05 * place, 2) for place in range(1, 16))
    reference = _feature_sketch((100,) * 16, mean=0.4, squares=85.0)
    names = ("image.mean", "image.edges")
    features = (
        Feature(name=name, tensor="image", kind=FeatureKind.MEAN, edges=edges, reference=reference) for name in names
    )
    return SketchPlan(features=tuple(features), output=OutputReference(class_counts=(), confidence_counts=()))


def a_sketch(plan: SketchPlan, *, release: ReleaseId = OLD) -> Sketch:
    """Return a window under the plan in which ``image.mean`` rose."""
    moved = (0,) * 9 + (5, 10, 20, 40, 60, 80, 85)
    features: Mapping[str, FeatureSketch] = {
        "image.mean": _feature_sketch(moved, mean=0.71, squares=5.0),
        "image.edges": _feature_sketch((18, 19) * 8, mean=0.4, squares=15.7),
    }
    return Sketch(
        plan=plan_digest(plan),
        release=release,
        started_at=NOW - timedelta(hours=1),
        ended_at=NOW,
        rows=300,
        errors=0,
        features=features,
        class_counts=(),
        confidence_counts=(0,) * (len(CONFIDENCE_EDGES) + 1),
        latency_counts=(0,) * (len(LATENCY_EDGES_MS) + 1),
    )


def _feature_sketch(counts: tuple[int, ...], *, mean: float, squares: float) -> FeatureSketch:
    return FeatureSketch(counts=counts, missing=0, mean=mean, squares=squares)


def _part(place: int, state: UpdateState, *, wave: int, code: str = "", detail: str = "") -> RolloutDeviceView:
    return RolloutDeviceView(
        device=DeviceId(f"pi-{place + 1:02}"),
        profile=PI,
        wave=wave,
        state=state,
        code=code,
        detail=detail,
        chunks_done=33 if state is UpdateState.HEALTHY else 0,
        chunks_total=33,
        updated_at=NOW - timedelta(seconds=60 - place),
    )
