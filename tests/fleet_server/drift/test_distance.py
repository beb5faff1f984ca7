"""Which features moved: real scans of digits, clean and shifted, taken by the lines that the agent runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.features import feature_of, feature_values, sketch_feature
from contracts.ids import ReleaseId
from contracts.sketch import FeatureKind, FeatureSketch, OutputReference, Sketch, SketchPlan, plan_digest
from fleet_server.drift.distance import moved_features, movement, net_psi
from fleet_server.drift.watch import LEVEL
from tests.fleet_server.small_fleet import a_plan, brightness_of

Floats = NDArray[np.float64]
KINDS = [
    ("image.mean", FeatureKind.MEAN, 0),
    ("image.deviation", FeatureKind.DEVIATION, 0),
    ("image.edges", FeatureKind.EDGES, 0),
    *((f"image.region{cell}", FeatureKind.REGION, cell) for cell in range(16)),
]
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@cache
def digits() -> Floats:
    """Return 1,797 real scans, shape (n, 1, 8, 8), 0..16, in a fixed random order."""
    from sklearn.datasets import load_digits

    scans = np.asarray(load_digits().data, dtype=np.float64).reshape(-1, 1, 8, 8)
    return scans[np.random.default_rng(3).permutation(len(scans))]


def plan_from(scans: Floats) -> SketchPlan:
    """Return the plan whose reference these scans are."""
    return SketchPlan(
        features=tuple(
            feature_of(name, "image", kind, feature_values(kind, index, scans), index=index)
            for name, kind, index in KINDS
        ),
        output=OutputReference(class_counts=(), confidence_counts=()),
    )


def sketch_of(plan: SketchPlan, scans: Floats) -> Sketch:
    """Return what a device that saw these scans would send."""
    bins = {feature.name: len(feature.edges) + 1 for feature in plan.features}
    nothing = Sketch.empty(plan=plan_digest(plan), release=ReleaseId("digits@1.0"), bins=bins, classes=0)
    features = {
        feature.name: sketch_feature(feature_values(feature.kind, feature.index, scans), feature.edges)
        for feature in plan.features
    }
    return replace(nothing, rows=len(scans), features=features, started_at=NOW, ended_at=NOW)


def brightness_sketch(seen: FeatureSketch, rows: int) -> Sketch:
    """Return a sketch of the small fleet's plan."""
    nothing = Sketch.empty(
        plan=plan_digest(a_plan()), release=ReleaseId("digits@1.0"), bins={"image.mean": 16}, classes=10
    )
    return replace(nothing, rows=rows, features={"image.mean": seen})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("brightness", "contrast", "named"),
    [(4.0, 1.0, {"image.mean"}), (0.0, 0.5, {"image.deviation", "image.edges"}), (3.0, 0.6, {"image.deviation"})],
)
def test_shifted_images_are_named_after_a_hundred_rows(brightness: float, contrast: float, named: set[str]) -> None:
    plan = plan_from(digits()[:500])
    shifted = np.clip(digits()[1400:1500] * contrast + brightness, 0, 16)

    moved = moved_features(plan, sketch_of(plan, shifted), alpha=LEVEL)

    assert named <= {feature.name for feature in moved[:8]}


def looks_that_alarm(seed: int) -> int:
    """Return how many of a hundred clean looks alarm on a device whose traffic is the same 360 scans, again and again."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(digits()))
    plan = plan_from(digits()[order[:500]])
    served = digits()[order[1437:]]
    windows = (random.choice(served, int(random.integers(100, 200))) for _ in range(100))
    return sum(bool(moved_features(plan, sketch_of(plan, window), alpha=LEVEL)) for window in windows)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_clean_device_stays_quiet_over_a_hundred_windows(seed: int) -> None:
    assert looks_that_alarm(seed) == 0


def test_too_few_rows_say_nothing() -> None:
    seen = brightness_of(96, shifted=True)

    assert moved_features(a_plan(), brightness_sketch(seen, 99)) == ()
    assert moved_features(a_plan(), brightness_sketch(seen, 100)) != ()


def test_a_change_that_is_no_chance_but_does_not_matter_says_nothing() -> None:
    four_tenths_of_a_deviation = FeatureSketch(counts=(62_500,) * 16, missing=0, mean=10.0, squares=1e6 * 21.0)

    (feature,) = a_plan().features
    found = movement(feature, four_tenths_of_a_deviation)

    assert found.p < 1e-9
    assert moved_features(a_plan(), brightness_sketch(four_tenths_of_a_deviation, 1_000_000)) == ()


def test_a_moved_feature_says_what_was_and_what_is() -> None:
    (moved,) = moved_features(a_plan(), brightness_sketch(brightness_of(160, shifted=True), 160))

    assert (moved.name, moved.reference_mean, moved.current_mean) == ("image.mean", 8.0, 14.0)
    assert moved.psi > 1


def test_missing_values_are_a_movement_of_their_own() -> None:
    holes = replace(brightness_of(160), missing=16)

    (moved,) = moved_features(a_plan(), brightness_sketch(holes, 176))

    assert moved.name == "image.mean"


def test_an_unbounded_value_does_not_break_the_comparison() -> None:
    infinite = FeatureSketch(counts=(0,) * 15 + (160,), missing=0, mean=float("inf"), squares=float("nan"))

    (moved,) = moved_features(a_plan(), brightness_sketch(infinite, 160))

    assert moved.name == "image.mean"


def test_the_strongest_comes_first() -> None:
    plan = plan_from(digits()[:300])
    brighter = np.clip(digits()[300:500] + 4.0, 0, 16)

    moved = moved_features(plan, sketch_of(plan, brighter))
    shifts = [movement(feature, sketch_of(plan, brighter).features[feature.name]) for feature in plan.features]

    strengths = {each.feature.name: each.strength for each in shifts}
    assert [feature.name for feature in moved] == sorted(strengths, key=lambda name: -strengths[name])[: len(moved)]


def test_psi_is_about_nothing_between_samples_of_one_distribution() -> None:
    random = np.random.default_rng(5)

    indices = [
        net_psi(tuple(random.multinomial(150, [1 / 16] * 16)), tuple(random.multinomial(500, [1 / 16] * 16)))
        for _ in range(300)
    ]

    assert np.mean(indices) < 0.02
    assert max(indices) < 0.2
