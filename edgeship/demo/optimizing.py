"""Step 2: candidates for two devices, and the reason each loser lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.preprocessing import Step, StepKind
from edgeship.demo.errors import StepFailed
from edgeship.demo.narration import Narrator
from edgeship.demo.training import PIXEL_SCALE

if TYPE_CHECKING:
    from optimizer.data.dataset import Dataset
    from optimizer.search.candidate import Candidate, Search

PREPROCESSING = (Step(kind=StepKind.SCALE, tensor="image", factor=(PIXEL_SCALE,)),)
MODEL = "digits"
MAX_DROP = 0.01
MAX_SIZE_BYTES = 200_000
MAX_MEMORY_BYTES = 64_000_000


def search(
    model: Path, dataset: Dataset, profile: str, *, progress: Callable[[str, float], None] = lambda _what, _share: None
) -> Search:
    """Return the search for the best candidate of the model for that profile, within the demo's budgets."""
    from device_profiles import load_profile
    from optimizer.model import Model
    from optimizer.search.budget import OptimizeBudget
    from optimizer.search.optimize import optimize

    return optimize(
        Model.load(model, name=MODEL),
        dataset,
        load_profile(profile),
        budget=OptimizeBudget(max_drop=MAX_DROP, max_size_bytes=MAX_SIZE_BYTES, max_memory_bytes=MAX_MEMORY_BYTES),
        preprocessing=PREPROCESSING,
        progress=progress,
    )


def only_candidate(model: Path, dataset: Dataset, profile: str, *, quantized: bool) -> Candidate:
    """Return one candidate of the model, made and measured by the ordinary path but held to no budget."""
    from device_profiles import load_profile
    from optimizer.benchmark.timing import Effort
    from optimizer.model import Model
    from optimizer.passes import QuantizeStatic, SimplifyOnnx
    from optimizer.pipeline import Pipeline
    from optimizer.search.budget import OptimizeBudget
    from optimizer.search.case import Bench, Case
    from optimizer.search.making import Attempt
    from optimizer.search.optimize import search

    pipeline = Pipeline(SimplifyOnnx(), QuantizeStatic()) if quantized else Pipeline(SimplifyOnnx())
    found = search(
        Case(
            model=Model.load(model, name=MODEL),
            dataset=dataset,
            target=load_profile(profile),
            preprocessing=PREPROCESSING,
        ),
        [lambda _known: (Attempt(label="only", pipeline=pipeline),)],
        budget=OptimizeBudget(max_drop=None),
        bench=Bench(effort=Effort(runs=10, warmup=2, least_runs=5)),
    )
    if found.winner is None:
        raise StepFailed(f"no candidate came out for {model.name}: {found.failures}")
    return found.winner


def show(speaker: Narrator, found: Search) -> Candidate:
    """Print the candidates of a search and return the winner, which there must be."""
    rows = [
        (
            candidate.label,
            f"{candidate.size_bytes / 1000:.0f}",
            percent(candidate.accuracy),
            f"{candidate.latency.p50_ms:.3f}",
            f"{candidate.latency.p95_ms:.3f}",
            f"{candidate.memory_bytes / 1e6:.1f}",
            f"{candidate.verdict.replace('_', ' ')}: {candidate.reason}",
        )
        for candidate in found.candidates
    ]
    original = (
        "original",
        f"{found.original.size_bytes / 1000:.0f}",
        percent(found.original_fidelity.accuracy),
        f"{found.original_latency.p50_ms:.3f}",
        f"{found.original_latency.p95_ms:.3f}",
        "-",
        "the model as it was trained",
    )
    columns = ("candidate", "kB", "accuracy %", "p50 ms", "p95 ms", "memory MB", "verdict")
    speaker.table(columns, [original, *rows])
    for failure in found.failures:
        speaker.say(f"{failure.label} could not be made: {failure.cause}")
    speaker.say(f"latencies are this machine's ({found.machine}); how fast {found.target.title} is, is not known yet")
    winner = found.winner
    speaker.claim(winner is not None, f"a candidate for {found.target.name} holds every budget")
    if winner is None:
        raise StepFailed(f"no candidate for {found.target.name} holds every budget")
    return winner


def percent(ratio: float | None) -> str:
    """Return the ratio as a percentage with two digits, or a dash."""
    return "-" if ratio is None else f"{ratio * 100:.2f}"
