"""Judging: which candidates hold the budgets, which are on the front, which wins, and why each other lost.

Budgets decide on what was measured here: the drop, the size, the memory. A latency budget is the
target's and stays undecided. Latency on this machine takes part only as a comparison between candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.manifest import ModelFormat
from contracts.preprocessing import Step
from contracts.tensors import ElementType
from device_profiles.profile import DeviceClass, DeviceProfile
from optimizer.benchmark.timing import Timing
from optimizer.metrics.fidelity import Fidelity, Metric, resolution_note
from optimizer.model import Format, Model
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Candidate, Product, Verdict
from optimizer.words import latency_in_words, points_in_words, size_in_words

_SIZE_TIE = 1.02
"""Files that differ by less hold about the same weights; the words below say 2 %."""
_SIZE_TIE_WORDS = "2 %"
_LATENCY_TIE = 1.2
"""Ratios of two latencies on one machine moved by that much between runs of the same pair."""
_OTHER_MACHINE_TIE = 1.5
"""Between files of one size: a smaller advantage here says nothing of the target; the order of preference decides."""
_FLOATS = frozenset({ElementType.FP32, ElementType.FP16})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A product and its figures, not judged yet."""

    product: Product
    preprocessing: tuple[Step, ...]
    fidelity: Fidelity
    latency: Timing
    memory_bytes: int

    @property
    def size_bytes(self) -> int:
        """Length of the model file."""
        return self.product.model.size_bytes


def judge(
    measured: Sequence[Measured], target: DeviceProfile, budget: OptimizeBudget, objective: Objective
) -> tuple[Candidate, ...]:
    """Return the candidates in the given order, each with its verdict and the reason in words."""
    verdicts: dict[int, tuple[Verdict, str]] = {}
    holding: list[int] = []
    for place, one in enumerate(measured):
        ruled_out = _rule_out(one, target, budget)
        if ruled_out is None:
            holding.append(place)
        else:
            verdicts[place] = ruled_out
    if holding:
        winner = _best([measured[place] for place in holding], objective)
        for place in holding:
            verdicts[place] = _rank(measured[place], winner, [measured[other] for other in holding], objective)
    return tuple(_candidate(one, *verdicts[place]) for place, one in enumerate(measured))


def runs_on(model: Model, target: DeviceProfile) -> str | None:
    """Return why the target cannot run the model; None where it can."""
    if model.format is Format.TORCH or ModelFormat(model.format.value) not in target.formats:
        return f"{target.name} reads {', '.join(target.formats)}, not {model.format}"
    if target.full_int8 and not _is_fully_quantized(model):
        return f"{target.name} runs only fully quantized int8 models, and this one computes in float"
    return None


def memory_limit(target: DeviceProfile, budget: OptimizeBudget) -> int | None:
    """Return the limit on memory that this machine can decide.

    What a process here takes says nothing about a microcontroller, whose runtime plans its memory.
    """
    if target.device_class is DeviceClass.MICROCONTROLLER:
        return None
    return budget.max_memory_bytes or target.model_memory_bytes


def _rule_out(one: Measured, target: DeviceProfile, budget: OptimizeBudget) -> tuple[Verdict, str] | None:
    unfit = runs_on(one.product.model, target)
    if unfit is not None:
        return Verdict.UNFIT, unfit
    over = _over_budget(one, target, budget)
    return (Verdict.OVER_BUDGET, "; ".join(over)) if over else None


def _over_budget(one: Measured, target: DeviceProfile, budget: OptimizeBudget) -> list[str]:
    over = []
    drop = one.fidelity.drop
    if budget.max_drop is not None and drop.value > budget.max_drop:
        change = "RMSE rises" if one.fidelity.metric is Metric.RMSE else f"{one.fidelity.metric} falls"
        over.append(
            f"{change} by {100 * drop.value:.2f} {one.fidelity.unit} "
            f"(95 %: {points_in_words(drop.low)} to {points_in_words(drop.high)}), over {100 * budget.max_drop:g}"
        )
    if budget.max_size_bytes is not None and one.size_bytes > budget.max_size_bytes:
        over.append(f"its size is {size_in_words(one.size_bytes)}, over {size_in_words(budget.max_size_bytes)}")
    limit = memory_limit(target, budget)
    if limit is not None and one.memory_bytes > limit:
        over.append(f"it takes {size_in_words(one.memory_bytes)} of memory, over {size_in_words(limit)}")
    return over


def _is_fully_quantized(model: Model) -> bool:
    tensors = (*model.inputs, *model.outputs)
    return model.spec.quantized and not any(spec.element in _FLOATS for spec in tensors)


def _best(holding: Sequence[Measured], objective: Objective) -> Measured:
    """Return the best by the objective, then by the other; of those that tie in both, the first in order."""
    return _finalists(holding, objective)[1][0]


def _finalists(holding: Sequence[Measured], objective: Objective) -> tuple[list[Measured], list[Measured]]:
    """Return those that tie as best by the objective, and those of them that tie by the other too."""
    if objective is Objective.SIZE:
        tied = _smallest(holding)
        return tied, _fastest(tied, _OTHER_MACHINE_TIE)
    tied = _fastest(holding, _LATENCY_TIE)
    return tied, _smallest(tied)


def _smallest(some: Sequence[Measured]) -> list[Measured]:
    least = min(one.size_bytes for one in some)
    return [one for one in some if one.size_bytes <= least * _SIZE_TIE]


def _fastest(some: Sequence[Measured], tie: float) -> list[Measured]:
    least = min(one.latency.p50_ms for one in some)
    return [one for one in some if one.latency.p50_ms <= least * tie]


def _rank(one: Measured, winner: Measured, holding: Sequence[Measured], objective: Objective) -> tuple[Verdict, str]:
    if one is winner:
        return Verdict.WINNER, _why_won(holding, objective)
    for other in (winner, *holding):
        if other is not one and _dominates(other, one):
            return Verdict.DOMINATED, _why_dominated(one, other)
    return Verdict.FRONT, _why_not(one, winner, objective)


def _dominates(better: Measured, worse: Measured) -> bool:
    """Whether one is as good in drop, size and latency (ties count as equal) and better in one of them.

    Ties in size and latency are those of the choice, so that noise moves no candidate between verdicts.
    """
    if better.fidelity.drop.value > worse.fidelity.drop.value or better.size_bytes > worse.size_bytes * _SIZE_TIE:
        return False
    if better.latency.p50_ms > worse.latency.p50_ms * _LATENCY_TIE:
        return False
    return (
        better.fidelity.drop.value < worse.fidelity.drop.value
        or better.size_bytes * _SIZE_TIE < worse.size_bytes
        or better.latency.p50_ms * _LATENCY_TIE < worse.latency.p50_ms
    )


def _why_won(holding: Sequence[Measured], objective: Objective) -> str:
    tied, left = _finalists(holding, objective)
    names = ("smallest", "fastest on this machine")
    ties = (f"within {_SIZE_TIE_WORDS} of the smallest", f"within {_LATENCY_TIE:g}x of the fastest on this machine")
    first, then = names if objective is Objective.SIZE else names[::-1]
    if len(holding) == 1:
        return "the only one that holds the budgets"
    if len(tied) == 1:
        return f"the {first} that holds the budgets"
    if len(left) == 1:
        return f"the {then} of the {len(tied)} {ties[objective is Objective.LATENCY]}"
    order = " before ".join(measured.product.label for measured in left)
    return f"{ties[objective is Objective.LATENCY]}, and first in the order of preference ({order})"


def _why_not(one: Measured, winner: Measured, objective: Objective) -> str:
    larger = one.size_bytes > winner.size_bytes * _SIZE_TIE
    slower = one.latency.p50_ms > winner.latency.p50_ms * _LATENCY_TIE
    name = winner.product.label
    sizes = f"larger than {name} ({size_in_words(one.size_bytes)} to {size_in_words(winner.size_bytes)})"
    times = (
        f"slower on this machine than {name} "
        f"({latency_in_words(one.latency.p50_ms)} to {latency_in_words(winner.latency.p50_ms)})"
    )
    if larger and (objective is Objective.SIZE or not slower):
        return f"holds the budgets, but is {sizes}"
    if slower:
        return f"holds the budgets, but is {times}"
    return f"within {_SIZE_TIE_WORDS} of {name} in size, and {name} comes first in the order of preference"


def _why_dominated(one: Measured, other: Measured) -> str:
    name = other.product.label
    compared = f"no better in {one.fidelity.metric}, size or latency than {name}"
    return f"{compared}: {_difference(one, other)}; memory is not compared"


def _difference(one: Measured, other: Measured) -> str:
    drop = 100 * (one.fidelity.drop.value - other.fidelity.drop.value)
    size, latency = one.size_bytes / other.size_bytes, one.latency.p50_ms / other.latency.p50_ms
    return ", ".join(
        (
            f"{drop:+.2f} {one.fidelity.unit} of drop" if round(drop, 2) else "equal drop",
            f"size within {_SIZE_TIE_WORDS}" if 1 / _SIZE_TIE <= size <= _SIZE_TIE else f"{size:.2f}x the size",
            f"latency on this machine within {_LATENCY_TIE:g}x"
            if 1 / _LATENCY_TIE <= latency <= _LATENCY_TIE
            else f"{latency:.2f}x the latency on this machine",
        )
    )


def _candidate(one: Measured, verdict: Verdict, reason: str) -> Candidate:
    return Candidate(
        product=one.product,
        preprocessing=one.preprocessing,
        fidelity=one.fidelity,
        latency=one.latency,
        memory_bytes=one.memory_bytes,
        verdict=verdict,
        reason=reason,
    )


def undecided(candidates: Sequence[Candidate], target: DeviceProfile, budget: OptimizeBudget) -> tuple[str, ...]:
    """Return the sentences on what these figures cannot decide."""
    winner = next((one for one in candidates if one.verdict is Verdict.WINNER), None)
    notes = [
        f"The latency of {target.name} is not known yet: every latency here was taken on this machine"
        + (
            f", so the budget of {latency_in_words(budget.max_latency_ms)} is not decided."
            if budget.max_latency_ms is not None
            else "."
        )
    ]
    if target.device_class is DeviceClass.MICROCONTROLLER:
        notes.append(
            f"What a process here takes says nothing about {target.name}'s memory: that budget is not decided."
        )
    if winner is not None:
        unresolved = resolution_note(winner.fidelity, budget.max_drop)
        notes += [f"{winner.label}: {unresolved}."] if unresolved else []
    return tuple(notes)
