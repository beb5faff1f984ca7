"""Is this release fit to serve here? Evidence is collected by running it; the judgement is arithmetic.

``judge`` compares with what the artifact states about itself: recorded outputs within the tolerance,
the latency of single-row requests and the memory within the budget. A budget that was not stated is
not judged.

>>> percentile((5.0, 1.0, 3.0, 2.0, 4.0), 0.5)
3.0
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.manifest import ArtifactManifest
from edge_agent.errors import ProbationGolden, ProbationLatency, ProbationMemory

ROUNDS_LIMIT = 1000


class GoldenFigures(Protocol):
    """What one run over the recorded inputs showed."""

    @property
    def max_difference(self) -> float:
        """Largest absolute difference of any output, in its unit."""
        ...

    @property
    def disagreements(self) -> int:
        """Rows whose top class is another."""
        ...

    @property
    def latencies_ms(self) -> Sequence[float]:
        """One latency for each recorded row, run by itself."""
        ...


class Provable(Protocol):
    """A model that can be run on its own recorded inputs."""

    @property
    def manifest(self) -> ArtifactManifest:
        """What it states about itself."""
        ...

    def golden_check(self) -> GoldenFigures:
        """Run every recorded input and compare."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen: the worst of all rounds, every latency, and the resident memory that it added."""

    max_difference: float
    disagreements: int
    latencies_ms: tuple[float, ...]
    memory_growth_bytes: int


def collect(model: Provable, *, runs: int, resident_bytes: Callable[[], int], resident_before: int) -> Evidence:
    """Return what at least ``runs`` single-row runs showed; the first round warms up and is not timed.

    Args:
        model: opened and not yet serving.
        runs: how many latencies to take.
        resident_bytes: how much memory the process holds now.
        resident_before: what it held before the model was opened.
    """
    figures = [model.golden_check()]
    latencies: list[float] = []
    while len(latencies) < runs and len(figures) < ROUNDS_LIMIT:
        figures.append(model.golden_check())
        latencies.extend(figures[-1].latencies_ms)
    return Evidence(
        # max() would pass over a NaN, and an output that is no number is as far off as can be
        max_difference=max(math.inf if math.isnan(seen.max_difference) else seen.max_difference for seen in figures),
        disagreements=max(seen.disagreements for seen in figures),
        latencies_ms=tuple(latencies),
        memory_growth_bytes=max(0, resident_bytes() - resident_before),
    )


def judge(evidence: Evidence, manifest: ArtifactManifest) -> None:
    """Let the release pass, or raise what it fell short of.

    Raises:
        ProbationGolden: an output is too far from the recorded one, or too many top classes differ.
        ProbationLatency: the 95th percentile is over the budget.
        ProbationMemory: it added more resident memory than the budget.
    """
    name = f"{manifest.model}@{manifest.version}"
    golden, budget = manifest.golden, manifest.budget
    if evidence.max_difference > golden.tolerance or evidence.disagreements > golden.max_disagreements:
        raise ProbationGolden(
            f"{name} does not give its recorded answers: largest difference {evidence.max_difference:.6g} "
            f"(tolerance {golden.tolerance:.6g}), {evidence.disagreements} of {golden.rows} rows with another top "
            f"class (at most {golden.max_disagreements})"
        )
    p95_ms = percentile(evidence.latencies_ms, 0.95)
    if budget.latency_p95_ms is not None and p95_ms > budget.latency_p95_ms:
        raise ProbationLatency(
            f"{name} is too slow here: p95 of {len(evidence.latencies_ms)} single-row runs is {p95_ms:.3f} ms, "
            f"its budget is {budget.latency_p95_ms:.3f} ms"
        )
    if budget.memory_bytes is not None and evidence.memory_growth_bytes > budget.memory_bytes:
        raise ProbationMemory(
            f"{name} takes too much memory here: {evidence.memory_growth_bytes / 1e6:.1f} MB more resident, "
            f"its budget is {budget.memory_bytes / 1e6:.1f} MB"
        )


def percentile(values: Sequence[float], ratio: float) -> float:
    """Return the smallest value that at least ``ratio`` of the values do not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(ratio * len(ordered)) - 1)] if ordered else 0.0
