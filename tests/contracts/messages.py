"""One message of each kind that crosses the wire, fixed for good: what ``tests/golden`` holds the bytes of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from contracts.chunks import ChunkAnswer, ChunkIndex, ChunkRequest
from contracts.delta import DeltaNews, DeltaState
from contracts.director import Assignment, TimeAnswer
from contracts.envelope import Envelope, ReportAck, ReportKind
from contracts.health import Heartbeat
from contracts.ids import DEFAULT_TENANT, BootId, DeviceId, ModelName, ProfileName, ReleaseId, RolloutId, digest_of
from contracts.manifest import ModelFormat
from contracts.metadata import MetadataAnswer, MetadataName, MetadataRequest, RepositoryName
from contracts.release import TargetCustom
from contracts.retrain import MovedFeature, RetrainRequest
from contracts.sketch import FeatureSketch, Sketch
from contracts.update import Offer, UpdateReport, UpdateState

AT = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
LATER = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)
RELEASE = ReleaseId("digits@1.2.0")
ROLLOUT = RolloutId("r-0123456789")
BOOT = BootId("0123456789abcdef")
INDEX = digest_of(b"index")

MESSAGES: Mapping[str, object] = {
    "offer-1": Offer(
        generation=7, model=ModelName("digits"), release=RELEASE, rollout=ROLLOUT, attempt=1, max_bytes_s=65_536
    ),
    "update-report-1": UpdateReport(
        rollout=ROLLOUT,
        generation=7,
        attempt=1,
        release=RELEASE,
        state=UpdateState.DOWNLOADING,
        running="digits@1.1.0",
        at=AT,
        chunks_done=3,
        chunks_total=40,
    ),
    "heartbeat-1": Heartbeat(
        profile=ProfileName("raspberry-pi-4"),
        agent_version="0.1.0",
        running={ModelName("digits"): RELEASE},
        at=AT,
        uptime_s=3600.5,
        memory_bytes=48_000_000,
        requests=120,
        errors=1,
        latency_p50_ms=1.25,
        latency_p95_ms=2.5,
        generation=7,
    ),
    "sketch-1": Sketch(
        plan=digest_of(b"plan"),
        release=RELEASE,
        started_at=AT,
        ended_at=LATER,
        rows=6,
        errors=1,
        features={"image.mean": FeatureSketch(counts=(1, 2, 3), missing=0, mean=0.5, squares=0.25)},
        class_counts=(4, 2),
        confidence_counts=(0, 6),
        latency_counts=(5, 1),
    ),
    "envelope-1": Envelope(
        boot=BOOT, sequence=12, kind=ReportKind.HEARTBEAT, body=b"a body", signature=bytes(range(64))
    ),
    "report-ack-1": ReportAck(boot=BOOT, sequence=12),
    "metadata-request-1": MetadataRequest(name=MetadataName.TARGETS, request=3, version=5, schema=1),
    "metadata-request-2": MetadataRequest(
        name=MetadataName.TIMESTAMP,
        request=4,
        repository=RepositoryName.DIRECTOR,
        team="line-3",
        nonce=bytes(range(16)),
        digest=digest_of(b"wanted"),
        base=digest_of(b"base"),
    ),
    "metadata-answer-1": MetadataAnswer(name=MetadataName.TARGETS, request=3, part=0, parts=1, data=b"{}"),
    "chunk-index-1": ChunkIndex(artifact=digest_of(b"artifact"), digests=(bytes(32), bytes(range(32))), lengths=(9, 4)),
    "chunk-request-1": ChunkRequest(index=INDEX, first=2, missing=b"\x0b", credit=8),
    "chunk-answer-1": ChunkAnswer(index=INDEX, place=2, data=b"a chunk"),
    "delta-news-1": DeltaNews(
        base=digest_of(b"base"), target=digest_of(b"target"), state=DeltaState.READY, index=INDEX, length=4_096
    ),
    "target-custom-1": TargetCustom(
        release=RELEASE,
        counter=3,
        profile=ProfileName("raspberry-pi-4"),
        index=INDEX,
        index_length=4_096,
        min_agent_version="0.1.0",
        schema=1,
    ),
    "target-custom-2": TargetCustom(
        release=RELEASE,
        counter=3,
        profile=ProfileName("raspberry-pi-4"),
        index=INDEX,
        index_length=4_096,
        min_agent_version="0.1.0",
        runtime=ModelFormat.ONNX,
    ),
    "assignment-1": Assignment(tenant=DEFAULT_TENANT, device=DeviceId("pi-1"), generation=7),
    "time-answer-1": TimeAnswer(tenant=DEFAULT_TENANT, device=DeviceId("pi-1"), nonce=bytes(range(16)).hex(), at=AT),
    "retrain-request-1": RetrainRequest(
        id="retrain-0123456789ab",
        model=ModelName("digits"),
        release=RELEASE,
        alert="alert-0123456789ab",
        moved=(MovedFeature(name="image.mean", psi=0.75, reference_mean=0.25, current_mean=0.5),),
        devices=(DeviceId("pi-1"),),
        window_started_at=AT,
        window_ended_at=LATER,
        rows=200,
        created_at=LATER,
    ),
}
