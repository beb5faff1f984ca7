"""What a window of inputs and outputs looked like: counts that merge, and no raw value.

A ``SketchPlan`` travels in the artifact: which features to watch and, for each, the edges of its
bins and what the reference data looked like. A ``Sketch`` is what one device saw in one window
under that plan. Counts only add up under equal edges, so a sketch names its plan by digest and
``merge`` refuses another plan.

Bins are half open: value v falls in bin i when edges[i-1] <= v < edges[i]; the first bin is below
edges[0], the last at or above edges[-1]; so there are len(edges) + 1 bins.

>>> from contracts.ids import digest_of, parse_release_id
>>> nothing = Sketch.empty(plan=digest_of(b"plan"), release=parse_release_id("digits@1"), bins={"image.mean": 4},
...                        classes=10)
>>> merge(nothing, nothing).rows
0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from contracts.codec import encode
from contracts.ids import Digest, ReleaseId, digest_of

CONFIDENCE_EDGES: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Bin edges of the top class's probability."""

LATENCY_EDGES_MS: tuple[float, ...] = tuple(round(0.01 * 2 ** (step / 2), 4) for step in range(32))
"""Bin edges of the latency of one request, from 0.01 ms to about 460 ms, half an octave each."""


class FeatureKind(StrEnum):
    """How one number is taken from one row of an input tensor."""

    ELEMENT = "element"
    """The element at ``index`` (flattened row): for tables."""
    MEAN = "mean"
    """Mean of the row: brightness of an image."""
    DEVIATION = "deviation"
    """Standard deviation of the row: contrast."""
    EDGES = "edges"
    """Mean absolute difference between neighbours of the last axis: sharpness."""
    REGION = "region"
    """Mean of one cell of a 4 x 4 grid over the last two axes; ``index`` is the cell, row by row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSketch:
    """Counts and moments of one feature: over the reference data, or over one window.

    ``counts`` has one entry a bin; ``missing`` counts NaN; ``mean`` and ``squares`` (sum of squared
    deviations from the mean) are over the ``rows`` that were not missing.
    """

    counts: tuple[int, ...]
    missing: int
    mean: float
    squares: float

    @property
    def rows(self) -> int:
        """How many values were counted, missing ones apart."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One watched number: where it comes from, its bins and what it looked like in the reference data."""

    name: str
    tensor: str
    kind: FeatureKind
    edges: tuple[float, ...]
    reference: FeatureSketch
    index: int = 0

    def __post_init__(self) -> None:
        """Refuse edges that are not rising and counts that do not fit them."""
        if any(left >= right for left, right in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"feature {self.name}: bin edges must rise strictly")
        if len(self.reference.counts) != len(self.edges) + 1:
            raise ValueError(f"feature {self.name}: {len(self.edges)} edges need {len(self.edges) + 1} counts")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReference:
    """Answers on the reference data: how often each class won, and with what confidence.

    ``class_counts`` has one entry a class; ``confidence_counts`` one a bin of CONFIDENCE_EDGES.
    Both are empty for a model that is no classifier.
    """

    class_counts: tuple[int, ...]
    confidence_counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchPlan:
    """What to watch of one release."""

    features: tuple[Feature, ...]
    output: OutputReference


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What one device saw in one window; merges by adding up.

    ``rows`` counts inferred rows, ``errors`` requests that failed inside the agent (not those
    refused as wrong). ``started_at`` and ``ended_at`` bound the window, UTC.
    """

    plan: Digest
    release: ReleaseId
    started_at: datetime
    ended_at: datetime
    rows: int
    errors: int
    features: Mapping[str, FeatureSketch]
    class_counts: tuple[int, ...]
    confidence_counts: tuple[int, ...]
    latency_counts: tuple[int, ...]
    schema: int = 1

    @classmethod
    def empty(cls, *, plan: Digest, release: ReleaseId, bins: Mapping[str, int], classes: int) -> Sketch:
        """Return the sketch of nothing: the zero of ``merge``."""
        start, end = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
        return cls(
            plan=plan,
            release=release,
            started_at=start,
            ended_at=end,
            rows=0,
            errors=0,
            features={
                name: FeatureSketch(counts=(0,) * count, missing=0, mean=0.0, squares=0.0)
                for name, count in bins.items()
            },
            class_counts=(0,) * classes,
            confidence_counts=(0,) * (len(CONFIDENCE_EDGES) + 1),
            latency_counts=(0,) * (len(LATENCY_EDGES_MS) + 1),
        )


def plan_digest(plan: SketchPlan) -> Digest:
    """Return what a sketch names its plan by: the digest of the encoded plan."""
    return digest_of(encode(plan))


def merge(left: Sketch, right: Sketch) -> Sketch:
    """Return the sketch of both windows together.

    Raises:
        ValueError: the two were taken under different plans or releases.
    """
    if (left.plan, left.release) != (right.plan, right.release):
        raise ValueError(f"sketches of {left.release} and {right.release} under different plans do not add up")
    return Sketch(
        plan=left.plan,
        release=left.release,
        started_at=min(left.started_at, right.started_at),
        ended_at=max(left.ended_at, right.ended_at),
        rows=left.rows + right.rows,
        errors=left.errors + right.errors,
        features={name: merge_features(left.features[name], right.features[name]) for name in left.features},
        class_counts=_add(left.class_counts, right.class_counts),
        confidence_counts=_add(left.confidence_counts, right.confidence_counts),
        latency_counts=_add(left.latency_counts, right.latency_counts),
    )


def merge_features(left: FeatureSketch, right: FeatureSketch) -> FeatureSketch:
    """Return counts and moments of both together (Chan et al. 1979 for the moments)."""
    rows = left.rows + right.rows
    gap = right.mean - left.mean
    share = right.rows / rows if rows else 0.0
    return FeatureSketch(
        counts=_add(left.counts, right.counts),
        missing=left.missing + right.missing,
        mean=left.mean + gap * share,
        squares=left.squares + right.squares + gap * gap * left.rows * share,
    )


def _add(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one + other for one, other in zip(left, right, strict=True))
