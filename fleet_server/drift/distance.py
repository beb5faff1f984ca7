"""Which inputs moved: a test that chance rarely passes, and a gate that small changes never pass.

Pure, standard library. An input moved when both hold:

- *it is no chance*: of three tests (histogram, mean, missing values) one has p below ``alpha`` divided by
  the number of tests (Bonferroni over all features); and
- *it matters*: PSI, less what sampling alone gives, is above MIN_PSI, or the mean moved by more than
  MIN_SHIFT reference standard deviations, or the share of missing values by more than MIN_MISSING.

The first alone alarms on anything once windows are large; the second alone alarms on small windows.
The population stability index of two samples of n and m rows over B bins is on average
(B - 1)(1/n + 1/m) where nothing moved (DESIGN_EFFECT times that where rows depend on each other): that is
taken off before it is judged or shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from contracts.retrain import MovedFeature
from contracts.sketch import Feature, FeatureSketch, Sketch, SketchPlan
from fleet_server.drift.statistics import same_histogram, same_mean, same_share

ALPHA = 0.01
MIN_ROWS = 100
MIN_PSI = 0.1
MIN_SHIFT = 0.5
MIN_MISSING = 0.02
TESTS_PER_FEATURE = 3

DESIGN_EFFECT = 2.0
"""Rows of real traffic are not independent draws (neighbouring frames, the same few hundred scenes), so each
test and the null PSI count them as half as many. Measured on handwritten digits, traffic drawn again and again
from 360 images: without it the family-wise 1 % test alarms in 6 % of clean looks, with it in less than 1 %."""

_LARGEST_SHIFT = 10.0
_SAME_MEAN = 1e-9
"""Means closer than this, relative to their size, are the same: sums in another order differ in the last bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """How far one feature is from its reference.

    ``p`` is the smallest of the three tests', not yet corrected for their number; ``psi`` is net of
    its null mean, at least 0; ``shift`` is in reference standard deviations (0 or more, at most 10);
    ``missing`` is the change of the share of missing values.
    """

    feature: Feature
    current: FeatureSketch
    p: float
    psi: float
    shift: float
    missing: float

    @property
    def matters(self) -> bool:
        """Whether the change is large enough to tell somebody."""
        return self.psi > MIN_PSI or self.shift > MIN_SHIFT or self.missing > MIN_MISSING

    @property
    def strength(self) -> float:
        """What movements are ordered by: shift of the mean and change of the shape together."""
        return self.shift + self.psi


def moved_features(
    plan: SketchPlan, sketch: Sketch, *, alpha: float = ALPHA, min_rows: int = MIN_ROWS
) -> tuple[MovedFeature, ...]:
    """Return the features that moved, strongest first; none while there are fewer than ``min_rows`` rows.

    Args:
        plan: what the artifact says to watch, with the reference data's counts.
        sketch: what a device saw under that plan.
        alpha: chance (0..1) that at least one feature is named although nothing moved.
        min_rows: rows below which nothing is said.
    """
    if sketch.rows < min_rows or not plan.features:
        return ()
    level = alpha / (len(plan.features) * TESTS_PER_FEATURE)
    movements = [movement(feature, sketch.features[feature.name]) for feature in plan.features]
    moved = [each for each in movements if each.p < level and each.matters]
    return tuple(_named(each) for each in sorted(moved, key=lambda each: (-each.strength, each.feature.name)))


def movement(feature: Feature, current: FeatureSketch) -> Movement:
    """Return how far the feature is from its reference."""
    reference = feature.reference
    shift, p_mean = _compare_means(reference, current)
    missing = _missing_share(current) - _missing_share(reference)
    p_missing = same_share(
        hits=(current.missing, reference.missing),
        rows=(current.rows + current.missing, reference.rows + reference.missing),
    )
    return Movement(
        feature=feature,
        current=current,
        p=min(same_histogram(current.counts, reference.counts, design_effect=DESIGN_EFFECT), p_mean, p_missing),
        psi=net_psi(current.counts, reference.counts),
        shift=shift,
        missing=abs(missing),
    )


def net_psi(current: tuple[int, ...], reference: tuple[int, ...]) -> float:
    """Return the population stability index less its null mean, at least 0; half a count is added to each bin."""
    bins = [pair for pair in zip(current, reference, strict=True) if any(pair)]
    rows = (sum(current), sum(reference))
    if min(rows) == 0:
        return 0.0
    smoothed = (rows[0] + len(bins) / 2, rows[1] + len(bins) / 2)
    index = 0.0
    for one, other in bins:
        left, right = (one + 0.5) / smoothed[0], (other + 0.5) / smoothed[1]
        index += (left - right) * math.log(left / right)
    return max(0.0, index - DESIGN_EFFECT * (len(bins) - 1) * (1 / rows[0] + 1 / rows[1]))


def _compare_means(reference: FeatureSketch, current: FeatureSketch) -> tuple[float, float]:
    gap = current.mean - reference.mean
    if min(reference.rows, current.rows) < 2 or not math.isfinite(gap) or not math.isfinite(current.squares):
        return 0.0, 1.0
    if abs(gap) <= _SAME_MEAN * max(1.0, abs(reference.mean)):
        return 0.0, 1.0
    spread = math.sqrt(reference.squares / (reference.rows - 1))
    shift = min(abs(gap) / spread, _LARGEST_SHIFT) if spread else _LARGEST_SHIFT
    one = reference.squares / (reference.rows - 1) / reference.rows
    other = current.squares / (current.rows - 1) / current.rows
    freedom = (one + other) ** 2 / ((one * one / (reference.rows - 1) + other * other / (current.rows - 1)) or math.inf)
    return shift, same_mean(gap=gap, error=math.sqrt(DESIGN_EFFECT * (one + other)), freedom=freedom)


def _missing_share(sketch: FeatureSketch) -> float:
    rows = sketch.rows + sketch.missing
    return sketch.missing / rows if rows else 0.0


def _named(moved: Movement) -> MovedFeature:
    return MovedFeature(
        name=moved.feature.name,
        psi=round(moved.psi, 4),
        reference_mean=moved.feature.reference.mean,
        current_mean=moved.current.mean,
    )
