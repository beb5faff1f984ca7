"""Which inputs of one device moved: a block histogram of then above one of now, for each feature. Pure.

The judgement is the server's own (``drift.distance``), on the same windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from contracts.ids import DeviceId, ReleaseId
from contracts.sketch import Feature, FeatureSketch, Sketch, SketchPlan, merge, plan_digest
from fleet_server.console.words import absolute, plain_number
from fleet_server.drift.distance import moved_features, movement
from fleet_server.terminal.page import Line, cell, line

BLOCKS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """One feature then and now; ``moved`` is the server's verdict, ``psi`` how far the shape is."""

    feature: Feature
    current: FeatureSketch
    psi: float
    moved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDrift:
    """What one device saw lately under its newest plan, feature by feature, what moved most first."""

    device: DeviceId
    window: Sketch
    features: tuple[FeatureDrift, ...]

    @property
    def release(self) -> ReleaseId:
        """The release that saw it."""
        return self.window.release


def device_drift(device: DeviceId, plan: SketchPlan, sketches: Sequence[Sketch]) -> DeviceDrift | None:
    """Return the sketches taken under the plan, added up and judged; None where there is none."""
    digest = plan_digest(plan)
    fitting = [sketch for sketch in sketches if sketch.plan == digest and sketch.release == sketches[0].release]
    if not fitting:
        return None
    window = reduce(merge, fitting)
    moved = {one.name for one in moved_features(plan, window)}
    movements = [movement(feature, window.features[feature.name]) for feature in plan.features]
    ordered = sorted(movements, key=lambda one: (one.feature.name not in moved, -one.strength))
    return DeviceDrift(
        device=device,
        window=window,
        features=tuple(
            FeatureDrift(feature=one.feature, current=one.current, psi=one.psi, moved=one.feature.name in moved)
            for one in ordered
        ),
    )


def drift_page(drift: DeviceDrift) -> tuple[Line, ...]:
    """Return the device's features, each as two rows of blocks."""
    moved = sum(one.moved for one in drift.features)
    verdict = cell(f"≈ {moved} moved", "rolled_back") if moved else cell("✓ none moved", "healthy")
    window = drift.window
    return (
        line(cell(drift.device, "strong"), f"  {drift.release}  ", verdict),
        line(cell(f"  {window.rows} rows, {absolute(window.started_at)} to {absolute(window.ended_at)}", "quiet")),
        line(cell("  a block is a bin; then: the reference data of the artifact", "quiet")),
        *(row for one in drift.features for row in _feature_lines(one)),
    )


def blocks(counts: Sequence[int], highest_share: float) -> str:
    """Return one block a bin, as high as its share of the rows; a bin with any row is never blank."""
    rows = sum(counts)
    if not rows:
        return " " * len(counts)
    heights = [count / rows / highest_share * (len(BLOCKS) - 1) for count in counts]
    return "".join(
        BLOCKS[min(len(BLOCKS) - 1, max(round(height), 1 if count else 0))]
        for count, height in zip(counts, heights, strict=True)
    )


def _feature_lines(one: FeatureDrift) -> tuple[Line, ...]:
    reference = one.feature.reference
    highest = max(*_shares(reference.counts), *_shares(one.current.counts)) or 1.0
    tone = "rolled_back" if one.moved else "quiet"
    word = "≈ moved " if one.moved else "✓ steady"
    missing = f", missing {one.current.missing}" if one.current.missing else ""
    edges = [plain_number(edge) for edge in one.feature.edges]
    return (
        line("  ", cell(word, tone), f"  {one.feature.name}  ", cell(f"PSI {one.psi:.2f}", tone)),
        line(
            cell("    then  ", "quiet"),
            cell(blocks(reference.counts, highest), "quiet"),
            f"  mean {plain_number(reference.mean)}",
            *((cell(f"   edges {edges[0]} to {edges[-1]}", "quiet"),) if edges else ()),
        ),
        line(
            cell("    now   ", "quiet"),
            cell(blocks(one.current.counts, highest), tone),
            f"  mean {plain_number(one.current.mean)}{missing}",
        ),
    )


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    rows = sum(counts)
    return tuple(count / rows for count in counts) if rows else (0.0,)
