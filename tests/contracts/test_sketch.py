"""Sketches add up: in any order, in any grouping, and to what one look at all rows would have counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.features import feature_of, feature_values, sketch_feature
from contracts.ids import ReleaseId
from contracts.sketch import Feature, FeatureKind, FeatureSketch, Sketch, merge, merge_features
from tests.strategies import BINS, CLASSES, PLAN, sketches

FEATURES = ("image.brightness", "image.contrast")
EMPTY = Sketch.empty(plan=PLAN, release=ReleaseId("digits@1.0"), bins=dict.fromkeys(FEATURES, BINS), classes=CLASSES)


def same_moments(left: FeatureSketch, right: FeatureSketch) -> bool:
    return (
        left.counts == right.counts
        and left.missing == right.missing
        and math.isclose(left.mean, right.mean, rel_tol=1e-9, abs_tol=1e-9)
        and math.isclose(left.squares, right.squares, rel_tol=1e-6, abs_tol=1e-5)
    )


def same(left: Sketch, right: Sketch) -> bool:
    counts = ("rows", "errors", "class_counts", "confidence_counts", "latency_counts", "started_at", "ended_at")
    return all(getattr(left, name) == getattr(right, name) for name in counts) and all(
        same_moments(left.features[name], right.features[name]) for name in FEATURES
    )


@given(sketches(), sketches())
def test_merge_is_commutative(left: Sketch, right: Sketch) -> None:
    assert same(merge(left, right), merge(right, left))


@given(sketches(), sketches(), sketches())
def test_merge_is_associative(first: Sketch, second: Sketch, third: Sketch) -> None:
    assert same(merge(merge(first, second), third), merge(first, merge(second, third)))


@given(sketches())
def test_the_empty_sketch_changes_nothing(sketch: Sketch) -> None:
    assert same(merge(EMPTY, sketch), sketch)


@given(sketches(), sketches(release=ReleaseId("digits@2.0")))
def test_sketches_of_two_releases_do_not_add_up(left: Sketch, right: Sketch) -> None:
    with pytest.raises(ValueError, match=r"digits@1.0 and digits@2.0"):
        merge(left, right)


@given(st.lists(st.floats(-50, 50), max_size=40), st.lists(st.floats(-50, 50), max_size=40))
def test_two_windows_merged_are_one_window_of_both(left: list[float], right: list[float]) -> None:
    edges = (-10.0, 0.0, 10.0)

    merged = merge_features(sketch_feature(np.array(left), edges), sketch_feature(np.array(right), edges))

    assert same_moments(merged, sketch_feature(np.array(left + right), edges))


def test_a_missing_value_is_counted_apart() -> None:
    sketch = sketch_feature(np.array([1.0, np.nan, 3.0]), (2.0,))

    assert (sketch.counts, sketch.missing, sketch.mean) == ((1, 1), 1, 2.0)


def test_a_value_on_an_edge_falls_above_it() -> None:
    assert sketch_feature(np.array([2.0]), (2.0,)).counts == (0, 1)


def test_edges_that_do_not_rise_are_refused() -> None:
    reference = FeatureSketch(counts=(0, 0, 0), missing=0, mean=0.0, squares=0.0)

    with pytest.raises(ValueError, match="edges must rise"):
        Feature(name="a", tensor="x", kind=FeatureKind.MEAN, edges=(1.0, 1.0), reference=reference)


@pytest.mark.parametrize(
    ("kind", "index", "expected"),
    [
        (FeatureKind.ELEMENT, 5, 5.0),
        (FeatureKind.MEAN, 0, 31.5),
        (FeatureKind.EDGES, 0, 1.0),
        (FeatureKind.REGION, 0, 4.5),
        (FeatureKind.REGION, 15, 58.5),
    ],
)
def test_each_kind_takes_its_number_from_a_row(kind: FeatureKind, index: int, expected: float) -> None:
    image = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)

    assert feature_values(kind, index, image)[0] == pytest.approx(expected)


def test_the_reference_fills_its_own_bins_evenly() -> None:
    values = np.random.default_rng(3).normal(size=1600)

    feature = feature_of("x.mean", "x", FeatureKind.MEAN, values)

    assert len(feature.edges) == 15
    assert max(feature.reference.counts) - min(feature.reference.counts) <= 2
