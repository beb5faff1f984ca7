"""A small fleet in a real database, without broker and without waiting: devices that a test moves by hand.

A device hears what the newest row of the outbox says on its topic, and speaks through the same functions
that the inbox calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, select

from contracts.artifact import ArtifactHeader
from contracts.codec import decode, encode
from contracts.health import Heartbeat
from contracts.ids import (
    DEFAULT_TENANT,
    DeviceId,
    GroupName,
    ProfileName,
    ReleaseId,
    RolloutId,
    digest_of,
    parse_model_name,
    split_release_id,
)
from contracts.manifest import ArtifactManifest, Budget, Golden, Lineage, ModelFormat
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
from contracts.tensors import ElementType, TensorSpec
from contracts.topics import Channel, device_topic
from contracts.update import Offer, UpdateReport, UpdateState
from fleet_server.alerts.store import list_alerts
from fleet_server.database.columns import Row
from fleet_server.database.session import open_database, reading, transaction
from fleet_server.database.tables import (
    ArtifactRow,
    DeviceGroupRow,
    DeviceRow,
    OutboxRow,
    ReleaseRow,
    TenantRow,
)
from fleet_server.devices.store import record_heartbeat
from fleet_server.drift import watch
from fleet_server.drift.store import record_sketch
from fleet_server.readmodel import AlertView, RolloutDeviceView, RolloutView
from fleet_server.rollouts import conductor, store
from fleet_server.rollouts.spec import GateSpec, RolloutSpec
from fleet_server.rollouts.states import RolloutEvent
from tests.fakes.clock import FakeClock

GROUP = GroupName("lab")
PI = ProfileName("raspberry-pi-4")
V1, V2, V3 = ReleaseId("digits@1.0"), ReleaseId("digits@2.0"), ReleaseId("digits@3.0")
EVEN_MIX = (20,) * 10
BIASED_MIX = (110, *(10,) * 9)
SURE = (0, 0, 0, 2, 6, 12, 20, 40, 60, 60)
UNSURE = (20, 60, 60, 30, 20, 10, 0, 0, 0, 0)
QUICK = (0,) * 12 + (150, 50) + (0,) * 19
BRIGHT_EDGES = tuple(float(edge) for edge in range(1, 16))


def fleet_at(path: Path) -> Fleet:
    """Return an empty fleet whose database is a file in the folder."""
    return fleet_on(f"sqlite:///{path / 'fleet.db'}")


def fleet_on(url: str) -> Fleet:
    """Return an empty fleet in that database, whatever was there before."""
    engine = open_database(url)
    Row.metadata.drop_all(engine)
    Row.metadata.create_all(engine)
    fleet = Fleet(engine=engine, url=url)
    with transaction(engine) as session:
        session.add(TenantRow(id=DEFAULT_TENANT, created_at=fleet.clock.now()))
        session.flush()
        session.add(DeviceGroupRow(tenant=DEFAULT_TENANT, name=GROUP, created_at=fleet.clock.now()))
    return fleet


def a_plan(mix: Sequence[int] = EVEN_MIX) -> SketchPlan:
    """Return a plan that watches the brightness: 16 even bins, 480 rows of reference, mean 8."""
    reference = FeatureSketch(counts=(30,) * 16, missing=0, mean=8.0, squares=480 * 21.0)
    brightness = Feature(
        name="image.mean", tensor="image", kind=FeatureKind.MEAN, edges=BRIGHT_EDGES, reference=reference
    )
    return SketchPlan(features=(brightness,), output=OutputReference(class_counts=tuple(mix), confidence_counts=SURE))


def brightness_of(rows: int, *, shifted: bool = False) -> FeatureSketch:
    """Return what a window of so many rows saw: as the reference, or all in the brightest four bins."""
    per_bin = rows // 16
    counts = (0,) * 12 + (per_bin * 4,) * 4 if shifted else (per_bin,) * 16
    return FeatureSketch(counts=counts, missing=0, mean=14.0 if shifted else 8.0, squares=sum(counts) * 21.0)


@dataclass(kw_only=True)
class Fleet:
    """One server's database, its clock and the devices that talk to it."""

    engine: Engine
    url: str
    clock: FakeClock = field(default_factory=FakeClock)

    def restart(self) -> None:
        """Let the server die and come back: a new engine on the same database."""
        self.engine.dispose()
        self.engine = open_database(self.url)

    def publish(self, release: ReleaseId, profile: ProfileName = PI) -> None:
        """Put the release there, with one artifact."""
        model, version = split_release_id(release)
        header = encode(ArtifactHeader(manifest=_manifest(release, profile), members=()))
        with transaction(self.engine) as session:
            session.add(
                ReleaseRow(
                    tenant=DEFAULT_TENANT,
                    id=release,
                    model=model,
                    counter=int(version[0]),
                    targets_version=1,
                    published_at=self.clock.now(),
                )
            )
            session.flush()
            session.add(
                ArtifactRow(
                    tenant=DEFAULT_TENANT,
                    digest=digest_of(header),
                    release=release,
                    profile=profile,
                    length=1,
                    index_digest=digest_of(b"index"),
                    header=header,
                )
            )

    def enroll(self, *names: str, running: ReleaseId | None = None, profile: ProfileName = PI) -> None:
        """Enroll devices into the group, running that release."""
        with transaction(self.engine) as session:
            session.add_all(
                DeviceRow(
                    tenant=DEFAULT_TENANT,
                    id=DeviceId(name),
                    group_name=GROUP,
                    profile=profile,
                    public_key="00" * 32,
                    agent_version="0.1.0",
                    enrolled_at=self.clock.now(),
                    running={split_release_id(running)[0]: running} if running else {},
                )
                for name in names
            )

    def roll_out(
        self,
        release: ReleaseId,
        *,
        gate: GateSpec,
        waves: tuple[str, ...] = ("1", "100%"),
        roll_back_on_failure: bool = True,
        device_timeout_s: float = 60.0,
    ) -> RolloutId:
        """Ask for a rollout and let the conductor begin it."""
        spec = RolloutSpec(
            release=release,
            group=GROUP,
            waves=waves,
            gate=gate,
            device_timeout_s=device_timeout_s,
            roll_back_on_failure=roll_back_on_failure,
        )
        with transaction(self.engine) as session:
            view = store.create_rollout(session, DEFAULT_TENANT, spec, created_by="ada", now=self.clock.now())
        self.tick()
        return view.id

    def tick(self, *, after_s: float = 0.0) -> None:
        """Let time pass and both watchers look once."""
        self.clock.pass_s(after_s)
        conductor.tick(self.engine, self.clock)
        watch.tick(self.engine, self.clock)

    def change(self, rollout: RolloutId, event: RolloutEvent) -> RolloutView:
        """Do what a person asks for."""
        with transaction(self.engine) as session:
            return store.change_rollout(session, DEFAULT_TENANT, rollout, event, by="ada", now=self.clock.now())

    def rollout(self, rollout: RolloutId) -> RolloutView:
        """Return the rollout as the API shows it."""
        with reading(self.engine) as session:
            return store.get_rollout(session, DEFAULT_TENANT, rollout)

    def part(self, rollout: RolloutId, device: DeviceId) -> RolloutDeviceView:
        """Return one device's part."""
        return next(part for part in self.rollout(rollout).devices if part.device == device)

    def wave(self, rollout: RolloutId, index: int) -> tuple[DeviceId, ...]:
        """Return the devices of a wave."""
        return tuple(part.device for part in self.rollout(rollout).devices if part.wave == index)

    def states(self, rollout: RolloutId) -> dict[DeviceId, UpdateState]:
        """Return the state of every device's part."""
        return {part.device: part.state for part in self.rollout(rollout).devices}

    def alerts(self) -> tuple[AlertView, ...]:
        """Return all alerts, newest first."""
        with reading(self.engine) as session:
            return list_alerts(session, DEFAULT_TENANT)

    def offers(self, device: DeviceId) -> tuple[Offer, ...]:
        """Return every offer that the device was ever sent, in order."""
        topic = device_topic(DEFAULT_TENANT, device, Channel.OFFER)
        with reading(self.engine) as session:
            rows = session.scalars(select(OutboxRow.body).where(OutboxRow.topic == topic).order_by(OutboxRow.id))
            return tuple(decode(Offer, body) for body in rows)

    def report(
        self,
        device: DeviceId,
        state: UpdateState,
        *,
        running: ReleaseId | None = None,
        code: str = "",
        offer: Offer | None = None,
    ) -> None:
        """Let the device say how it stands with its newest offer, or with that one."""
        heard = offer or self.offers(device)[-1]
        healthy = heard.release if state is UpdateState.HEALTHY else ""
        report = UpdateReport(
            rollout=heard.rollout,
            generation=heard.generation,
            attempt=heard.attempt,
            release=heard.release,
            state=state,
            running=running or healthy,
            at=self.clock.now(),
            code=code,
            detail=f"{code} happened" if code else "",
            chunks_done=30,
            chunks_total=30,
        )
        with transaction(self.engine) as session:
            store.record_update(session, DEFAULT_TENANT, device, report, is_newest=True, now=self.clock.now())

    def heartbeat(self, device: DeviceId, *, running: ReleaseId, generation: int) -> None:
        """Let the device say what it runs and which offer it knows."""
        beat = Heartbeat(
            profile=PI,
            agent_version="0.1.0",
            running={split_release_id(running)[0]: running},
            at=self.clock.now(),
            uptime_s=1.0,
            memory_bytes=1,
            requests=0,
            errors=0,
            latency_p50_ms=0.0,
            latency_p95_ms=0.0,
            generation=generation,
        )
        with transaction(self.engine) as session:
            record_heartbeat(session, DEFAULT_TENANT, device, beat, self.clock.now())

    def window(
        self,
        device: DeviceId,
        release: ReleaseId,
        *,
        mix: Sequence[int] = EVEN_MIX,
        confidence: Sequence[int] = SURE,
        latency: Sequence[int] = QUICK,
        shifted: bool = False,
    ) -> None:
        """Let the device send one window, as many rows as the mix has."""
        rows = sum(mix)
        sketch = Sketch(
            plan=plan_digest(a_plan()),
            release=release,
            started_at=self.clock.now() - timedelta(seconds=3),
            ended_at=self.clock.now(),
            rows=rows,
            errors=0,
            features={"image.mean": brightness_of(rows, shifted=shifted)},
            class_counts=tuple(mix),
            confidence_counts=tuple(confidence),
            latency_counts=tuple(latency),
        )
        with transaction(self.engine) as session:
            record_sketch(session, DEFAULT_TENANT, device, sketch, self.clock.now())


def _manifest(release: ReleaseId, profile: ProfileName) -> ArtifactManifest:
    model, version = split_release_id(release)
    image = TensorSpec(name="image", element=ElementType.FP32, shape=(-1, 1, 8, 8))
    scores = TensorSpec(name="scores", element=ElementType.FP32, shape=(-1, 10))
    return ArtifactManifest(
        model=parse_model_name(model),
        version=version,
        counter=int(version[0]),
        profile=profile,
        format=ModelFormat.ONNX,
        inputs=(image,),
        outputs=(scores,),
        model_inputs=(image,),
        model_outputs=(scores,),
        preprocessing=(),
        labels=(),
        threads=1,
        budget=Budget(),
        golden=Golden(rows=1, tolerance=0.1),
        sketch_plan=a_plan(),
        measurements=(),
        lineage=Lineage(source=digest_of(b"s"), data=digest_of(b"d"), passes=(), code_version="0", tools={}),
    )


assert len(QUICK) == len(LATENCY_EDGES_MS) + 1
assert len(SURE) == len(CONFIDENCE_EDGES) + 1
