"""Hypothesis strategies for what crosses a boundary."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from contracts.chunks import ChunkRequest
from contracts.envelope import Envelope, ReportKind
from contracts.health import Heartbeat
from contracts.ids import (
    BootId,
    DeviceId,
    Digest,
    ModelName,
    ProfileName,
    ReleaseId,
    RolloutId,
    digest_of,
    split_release_id,
)
from contracts.sketch import CONFIDENCE_EDGES, LATENCY_EDGES_MS, FeatureSketch, Sketch
from contracts.update import Offer, UpdateReport, UpdateState

PLAN = digest_of(b"plan")
RELEASE = ReleaseId("digits@1.0")
BINS = 5
CLASSES = 3


def slugs() -> st.SearchStrategy[str]:
    """Return names that fit a topic segment."""
    return st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\Z")


def digests() -> st.SearchStrategy[Digest]:
    """Return digests of something."""
    return st.binary(max_size=8).map(digest_of)


def release_ids() -> st.SearchStrategy[ReleaseId]:
    """Return release ids."""
    version = st.from_regex(r"\A[0-9]{1,2}\.[0-9]{1,2}\Z")
    return st.builds(lambda model, number: ReleaseId(f"{model}@{number}"), slugs(), version)


def moments() -> st.SearchStrategy[datetime]:
    """Return times in UTC."""
    return st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1)).map(  # noqa: DTZ001 (Hypothesis wants naive bounds)
        lambda moment: moment.replace(tzinfo=UTC)
    )


def offers() -> st.SearchStrategy[Offer]:
    """Return offers."""
    return release_ids().flatmap(
        lambda release: st.builds(
            Offer,
            generation=st.integers(0, 2**40),
            model=st.just(split_release_id(release)[0]),
            release=st.just(release),
            rollout=slugs().map(RolloutId),
            attempt=st.integers(1, 9),
            max_bytes_s=st.integers(0, 2**31),
        )
    )


def update_reports() -> st.SearchStrategy[UpdateReport]:
    """Return update reports."""
    return st.builds(
        UpdateReport,
        rollout=slugs().map(RolloutId),
        generation=st.integers(0, 2**40),
        attempt=st.integers(1, 9),
        release=release_ids(),
        state=st.sampled_from(UpdateState),
        running=st.just("") | release_ids(),
        at=moments(),
        code=st.text(max_size=20),
        detail=st.text(max_size=60),
        chunks_done=st.integers(0, 10_000),
        chunks_total=st.integers(0, 10_000),
    )


def heartbeats() -> st.SearchStrategy[Heartbeat]:
    """Return heartbeats."""
    amount = st.floats(0, 1e6, allow_nan=False)
    return st.builds(
        Heartbeat,
        profile=slugs().map(ProfileName),
        agent_version=st.just("0.1.0"),
        running=st.dictionaries(slugs().map(ModelName), release_ids(), max_size=3),
        at=moments(),
        uptime_s=amount,
        memory_bytes=st.integers(0, 2**40),
        requests=st.integers(0, 2**40),
        errors=st.integers(0, 2**40),
        latency_p50_ms=amount,
        latency_p95_ms=amount,
        generation=st.integers(0, 2**40),
    )


def chunk_requests() -> st.SearchStrategy[ChunkRequest]:
    """Return chunk requests."""
    return st.builds(
        ChunkRequest,
        index=digests(),
        first=st.integers(0, 100_000),
        missing=st.binary(max_size=64),
        credit=st.integers(1, 256),
    )


def envelopes() -> st.SearchStrategy[Envelope]:
    """Return envelopes, unsigned in truth."""
    return st.builds(
        Envelope,
        boot=slugs().map(BootId),
        sequence=st.integers(0, 2**40),
        kind=st.sampled_from(ReportKind),
        body=st.binary(max_size=64),
        signature=st.binary(min_size=64, max_size=64),
    )


def feature_sketches() -> st.SearchStrategy[FeatureSketch]:
    """Return sketches of one feature, with moments that a real window could have."""
    counts = st.tuples(*[st.integers(0, 1000)] * BINS)
    return st.builds(
        lambda counts, missing, mean, squares: FeatureSketch(
            counts=counts,
            missing=missing,
            mean=mean if sum(counts) else 0.0,
            squares=squares if sum(counts) > 1 else 0.0,
        ),
        counts,
        st.integers(0, 100),
        st.floats(-100, 100),
        st.floats(0, 1e4),
    )


def sketches(*, release: ReleaseId = RELEASE) -> st.SearchStrategy[Sketch]:
    """Return sketches under one plan, so that any two of them merge."""
    return st.builds(
        Sketch,
        plan=st.just(PLAN),
        release=st.just(release),
        started_at=moments(),
        ended_at=moments(),
        rows=st.integers(0, 1000),
        errors=st.integers(0, 10),
        features=st.fixed_dictionaries({"image.brightness": feature_sketches(), "image.contrast": feature_sketches()}),
        class_counts=st.tuples(*[st.integers(0, 1000)] * CLASSES),
        confidence_counts=st.tuples(*[st.integers(0, 1000)] * (len(CONFIDENCE_EDGES) + 1)),
        latency_counts=st.tuples(*[st.integers(0, 1000)] * (len(LATENCY_EDGES_MS) + 1)),
    )


def device_ids() -> st.SearchStrategy[DeviceId]:
    """Return device ids."""
    return slugs().map(DeviceId)
