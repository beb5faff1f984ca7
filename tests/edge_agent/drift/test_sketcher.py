"""Sketches of traffic: counts are numpy's, windows add up, and threads lose nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.artifact import read_artifact
from contracts.codec import decode, encode
from contracts.features import feature_values
from contracts.ids import ReleaseId
from contracts.sketch import CONFIDENCE_EDGES, Feature, Sketch, merge, plan_digest
from edge_agent.drift.sketcher import Sketcher
from edge_agent.drift.window import FLUSH_ROWS
from edge_agent.errors import NotWatched
from edge_agent.inference.served_model import ServedModel
from tests.builders import INPUT, OUTPUT, TinyModel, a_tiny_onnx_artifact

TINY = TinyModel()
SERVED = ServedModel.open(read_artifact(a_tiny_onnx_artifact(TINY)))
PLAN = SERVED.manifest.sketch_plan
MIDNIGHT = datetime(2026, 5, 1, tzinfo=UTC)


class SteppingClock:
    """A clock that moves one minute with each look at it."""

    def __init__(self) -> None:
        self._looks = 0

    def now(self) -> datetime:
        """Return a minute later than last time."""
        self._looks += 1
        return MIDNIGHT + timedelta(minutes=self._looks - 1)

    def monotonic_s(self) -> float:
        """Return the same in seconds."""
        return (self.now() - MIDNIGHT).total_seconds()


def watching() -> Sketcher:
    """Return a sketcher that watches the tiny model."""
    sketcher = Sketcher(SteppingClock())
    sketcher.watch(SERVED)
    return sketcher


def observe(sketcher: Sketcher, rows: NDArray[np.float32], *, latency_ms: float = 1.0) -> None:
    """Tell the sketcher of one request for the rows and its answer."""
    sketcher.observe(SERVED.release, {INPUT: rows}, {OUTPUT: TINY.answers(rows)}, latency_ms)


def observe_all(sketcher: Sketcher, batches: list[NDArray[np.float32]]) -> None:
    """Tell the sketcher of one request for each batch."""
    for batch in batches:
        observe(sketcher, batch)


def sketch_of(*windows: list[NDArray[np.float32]]) -> Sketch:
    """Return the merged sketches of these windows, one after the other."""
    sketcher = watching()
    merged = None
    for batches in windows:
        observe_all(sketcher, batches)
        for sketch in sketcher.close_window():
            merged = sketch if merged is None else merge(merged, sketch)
    assert merged is not None
    return merged


def batches_of(sizes: list[int], *, seed: int = 0) -> list[NDArray[np.float32]]:
    """Return batches of these sizes."""
    return np.split(TINY.rows(sum(sizes), seed=seed), np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("feature", PLAN.features, ids=lambda feature: feature.name)
def test_counts_are_those_of_a_histogram(feature: Feature) -> None:
    rows = TINY.rows(1000, seed=5)
    values = feature_values(feature.kind, feature.index, rows)

    counted = sketch_of([rows]).features[feature.name]

    counts, _ = np.histogram(values, [-np.inf, *feature.edges, np.inf])
    assert counted.counts == tuple(counts)
    assert counted.mean == pytest.approx(values.mean())
    assert counted.squares == pytest.approx(values.var() * 1000)


def test_classes_and_confidences_are_counted() -> None:
    rows = TINY.rows(700, seed=6)
    answers = TINY.answers(rows)

    sketch = sketch_of([rows])

    confidences, _ = np.histogram(answers.max(axis=1).astype(np.float64), [0.0, *CONFIDENCE_EDGES, 1.01])
    assert sketch.rows == 700
    assert sketch.class_counts == tuple(np.bincount(answers.argmax(axis=1), minlength=3))
    assert sketch.confidence_counts == tuple(confidences)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 300), min_size=2, max_size=6), cut=st.integers(1, 5))
def test_two_windows_merged_are_one_window_of_both(sizes: list[int], cut: int) -> None:
    batches = batches_of(sizes)
    parts = [part for part in (batches[:cut], batches[cut:]) if part]

    apart, together = sketch_of(*parts), sketch_of(batches)

    counts = [(feature.counts, feature.missing) for feature in apart.features.values()]
    assert counts == [(feature.counts, feature.missing) for feature in together.features.values()]
    assert (apart.rows, apart.class_counts, apart.confidence_counts, apart.latency_counts) == (
        together.rows,
        together.class_counts,
        together.confidence_counts,
        together.latency_counts,
    )
    moments = [(feature.mean, feature.squares) for feature in apart.features.values()]
    np.testing.assert_allclose(moments, [(one.mean, one.squares) for one in together.features.values()], rtol=1e-9)


@pytest.mark.parametrize("rows", [1, FLUSH_ROWS - 1, FLUSH_ROWS, FLUSH_ROWS + 1, 3 * FLUSH_ROWS + 7])
def test_no_row_is_lost_around_a_flush(rows: int) -> None:
    assert sketch_of(batches_of([1] * rows)).rows == rows


def test_a_window_is_bounded_by_the_clock_and_the_next_begins_where_it_ends() -> None:
    sketcher = watching()
    observe(sketcher, TINY.rows(1))
    (first,) = sketcher.close_window()
    observe(sketcher, TINY.rows(1))

    (second,) = sketcher.close_window()

    assert (first.started_at, first.ended_at) == (MIDNIGHT, MIDNIGHT + timedelta(minutes=1))
    assert second.started_at == first.ended_at


def test_an_empty_window_gives_no_sketch() -> None:
    assert watching().close_window() == ()


def test_failures_alone_make_a_sketch() -> None:
    sketcher = watching()
    sketcher.failed(SERVED.release)
    sketcher.failed(SERVED.release)

    (sketch,) = sketcher.close_window()

    assert (sketch.rows, sketch.errors) == (0, 2)
    assert sketcher.close_window() == ()


def test_each_release_has_its_own_sketch_under_its_own_plan() -> None:
    other = ServedModel.open(read_artifact(a_tiny_onnx_artifact(TinyModel(seed=9), version="2.0.0")))
    sketcher = watching()
    sketcher.watch(other)
    observe(sketcher, TINY.rows(2))
    sketcher.observe(other.release, {INPUT: TINY.rows(3)}, {OUTPUT: TINY.answers(TINY.rows(3))}, 1.0)

    sketches = {sketch.release: sketch for sketch in sketcher.close_window()}

    assert {release: sketch.rows for release, sketch in sketches.items()} == {"digits@1.0.0": 2, "digits@2.0.0": 3}
    assert sketches[ReleaseId("digits@2.0.0")].plan == plan_digest(other.manifest.sketch_plan)


def test_watching_again_keeps_what_was_counted() -> None:
    sketcher = watching()
    observe(sketcher, TINY.rows(4))

    sketcher.watch(SERVED)

    assert [sketch.rows for sketch in sketcher.close_window()] == [4]


def test_an_unwatched_release_is_named() -> None:
    with pytest.raises(NotWatched, match=r"digits@9"):
        Sketcher(SteppingClock()).failed(ReleaseId("digits@9"))


def test_latencies_fall_into_their_bins() -> None:
    sketcher = watching()
    observe(sketcher, TINY.rows(1), latency_ms=0.001)
    observe(sketcher, TINY.rows(8), latency_ms=10_000.0)

    (sketch,) = sketcher.close_window()

    assert (sketch.latency_counts[0], sketch.latency_counts[-1], sum(sketch.latency_counts)) == (1, 1, 2)


def test_a_sketch_survives_the_wire_and_holds_no_raw_value() -> None:
    sketch = sketch_of([TINY.rows(500)])

    data = encode(sketch)

    assert decode(Sketch, data) == sketch
    assert len(data) < 2500


def test_threads_lose_no_row() -> None:
    sketcher = watching()
    batches = batches_of([3] * 400)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(partial(observe, sketcher), batches))
        closed = list(pool.map(lambda _: sketcher.close_window(), range(3)))

    assert sum(sketch.rows for window in closed for sketch in window) == 1200
