"""One release's traffic in one window of time: rows go in, counts stay, and no raw value leaves.

Rows are kept as they came until there are enough of them to be worth counting (``FLUSH_ROWS``, or
``FLUSH_BYTES`` for large inputs): counting 256 rows at once costs little more than counting one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from contracts.features import class_confidence, feature_values, sketch_feature
from contracts.sketch import CONFIDENCE_EDGES, LATENCY_EDGES_MS, FeatureSketch, Sketch, SketchPlan, merge

if TYPE_CHECKING:
    from datetime import datetime

    from contracts.ids import Digest, ReleaseId
    from edge_agent.inference.engine import Tensors

FLUSH_ROWS = 256
FLUSH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is counted for one release: its plan, and which served output says the class."""

    release: ReleaseId
    plan: SketchPlan
    plan_digest: Digest
    output: str

    def nothing(self) -> Sketch:
        """Return the sketch of no rows."""
        return Sketch.empty(
            plan=self.plan_digest,
            release=self.release,
            bins={feature.name: len(feature.edges) + 1 for feature in self.plan.features},
            classes=len(self.plan.output.class_counts),
        )

    def count(self, inputs: Tensors, outputs: Tensors) -> Sketch:
        """Return the sketch of these rows, without times and latencies.

        Args:
            inputs: as the client sent them, shape (n, ...).
            outputs: as they were served, shape (n, ...).
        """
        empty = self.nothing()
        features: dict[str, FeatureSketch] = {}
        for feature in self.plan.features:
            values = feature_values(feature.kind, feature.index, inputs[feature.tensor])
            features[feature.name] = sketch_feature(values, feature.edges)
        counted = replace(empty, rows=len(outputs[self.output]), features=features)
        if not self.plan.output.class_counts:
            return counted
        classes, confidences = class_confidence(outputs[self.output])
        return replace(
            counted,
            class_counts=tuple(np.bincount(classes, minlength=len(empty.class_counts)).tolist()),
            confidence_counts=sketch_feature(confidences, CONFIDENCE_EDGES).counts,
        )


@dataclass(slots=True, kw_only=True)
class Window:
    """A window that is being filled; not safe to share between threads (the sketcher sees to that)."""

    watched: Watched
    started_at: datetime
    errors: int = 0
    _counted: Sketch = field(init=False)
    _inputs: list[Tensors] = field(default_factory=list)
    _outputs: list[Tensors] = field(default_factory=list)
    _latencies_ms: list[float] = field(default_factory=list)
    _rows: int = 0
    _bytes: int = 0

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self._counted = self.watched.nothing()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked of the release in this window."""
        return not (self.errors or self._rows or self._counted.rows)

    def add(self, inputs: Tensors, outputs: Tensors, latency_ms: float) -> None:
        """Take in one request's rows; counts them when enough have come together."""
        self._inputs.append(inputs)
        self._outputs.append(outputs)
        self._latencies_ms.append(latency_ms)
        self._rows += len(outputs[self.watched.output])
        self._bytes += sum(values.nbytes for values in inputs.values())
        if self._rows >= FLUSH_ROWS or self._bytes >= FLUSH_BYTES:
            self._flush()

    def close(self, ended_at: datetime) -> Sketch:
        """Return the sketch of everything that went in."""
        self._flush()
        return replace(self._counted, started_at=self.started_at, ended_at=ended_at, errors=self.errors)

    def _flush(self) -> None:
        if not self._latencies_ms:
            return
        rows = self.watched.count(_joined(self._inputs), _joined(self._outputs))
        latency = sketch_feature(np.array(self._latencies_ms), LATENCY_EDGES_MS)
        self._counted = merge(self._counted, replace(rows, latency_counts=latency.counts))
        self._inputs, self._outputs, self._latencies_ms = [], [], []
        self._rows = self._bytes = 0


def _joined(batches: list[Tensors]) -> Tensors:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
