"""What normal was: the SketchPlan in the signed artifact's header, and whether a sketch was taken under it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

from contracts.artifact import HEADER_LIMIT_BYTES, ArtifactHeader
from contracts.codec import decode
from contracts.sketch import CONFIDENCE_EDGES, LATENCY_EDGES_MS, Sketch, SketchPlan, plan_digest

MAX_COUNT = 2**48
"""More than any window can hold; far below where sums and databases overflow."""


@lru_cache(maxsize=64)
def plan_of(header: bytes) -> SketchPlan:
    """Return the plan in the encoded ArtifactHeader.

    Raises:
        DecodeError: the bytes are no header.
    """
    return decode(ArtifactHeader, header, limit_bytes=HEADER_LIMIT_BYTES).manifest.sketch_plan


def fits(sketch: Sketch, header: bytes) -> bool:
    """Whether the sketch was taken under the header's plan, with counts that the plan can give.

    A device that passes here can be wrong about what it saw, but not break the arithmetic for others.
    """
    plan = plan_of(header)
    return (
        sketch.plan == plan_digest(plan)
        and {name: len(feature.counts) for name, feature in sketch.features.items()}
        == {feature.name: len(feature.edges) + 1 for feature in plan.features}
        and len(sketch.latency_counts) == len(LATENCY_EDGES_MS) + 1
        and len(sketch.confidence_counts) == len(CONFIDENCE_EDGES) + 1
        and len(sketch.class_counts) == len(plan.output.class_counts)
        and all(0 <= count <= MAX_COUNT for count in _counts(sketch))
        and not any(feature.squares < 0 for feature in sketch.features.values())
    )


def _counts(sketch: Sketch) -> Iterator[int]:
    yield from (sketch.rows, sketch.errors)
    yield from chain(sketch.class_counts, sketch.confidence_counts, sketch.latency_counts)
    for feature in sketch.features.values():
        yield from (feature.missing, *feature.counts)
