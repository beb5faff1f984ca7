"""The bars of ``optimizer_vs_peers``, from what was measured of each model."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness import PROCESSES, Bar, at_most, paired, reported
from benchmarks.peers.cases import Case, Entry
from benchmarks.peers.recipes import RECIPES
from benchmarks.peers.scores import FAR_END, judged_strictly, keeps, resolved
from benchmarks.peers.timing import AGAIN, ORIGINAL
from benchmarks.peers.work import Result
from optimizer.metrics.fidelity import Fidelity

FASTEST, SMALLEST = "edgeship, latency", "edgeship, size"
ON_RESNETS, ON_DEPTHWISE, ON_SIZE, ON_ALL = 1.02, 0.65, 1.03, 0.85
SAME_FILE, SAME_WORK = "same file", "same arithmetic in the same runtime"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything that was measured of one model.

    ``results``, ``sizes`` and ``fidelity`` are by side. ``broken`` says of a file why it does not run; ``alike`` says
    of one that it is the original's file, or the same work. ``timings`` has one entry a process: seconds of one row.
    """

    entry: Entry
    case: Case
    results: Mapping[str, Result]
    sizes: Mapping[str, int]
    fidelity: Mapping[str, Fidelity]
    broken: Mapping[str, str]
    timings: Sequence[Mapping[str, float]]
    alike: Mapping[str, str]

    def ratios(self, side: str, other: str = ORIGINAL) -> list[float]:
        """Return side / other in each process; a side that gave no file counts as the original unchanged."""
        return [taken.get(side, taken[ORIGINAL]) / taken.get(other, taken[ORIGINAL]) for taken in self.timings]

    def again(self) -> list[float]:
        """Return the original against itself in each process."""
        return [taken[AGAIN] / taken[ORIGINAL] for taken in self.timings]

    def keeps(self, side: str) -> bool:
        """Return whether the side's answers count as kept."""
        return side in self.fidelity and keeps(self.fidelity[side], self.case)

    def peers(self, *, all_int8: bool = False) -> list[str]:
        """Return the recipes whose file runs, and keeps accuracy."""
        names = [recipe.name for recipe in RECIPES if recipe.all_int8 or not all_int8]
        return [name for name in names if self.keeps(name)]

    def best_peer(self, *, all_int8: bool = False) -> str | None:
        """Return the fastest of them."""
        return min(self.peers(all_int8=all_int8), key=lambda name: statistics.median(self.ratios(name)), default=None)


def unjudged(name: str, *, target: str, note: str, peer: str = "") -> Bar:
    """Return a bar that could not be judged: it reads "not resolved" and does not count as held."""
    return Bar(
        name=name, value=math.nan, unit="", n=0, low=math.nan, high=math.nan,
        target=target, peer=peer, verdict="not resolved", note=note,
    )  # fmt: skip


def bars_of(outcome: Outcome, *, seed: int) -> list[Bar]:
    """Return one model's bars."""
    name = outcome.entry.name
    missing = [side for side in (FASTEST, SMALLEST) if side not in outcome.fidelity]
    bars = [
        unjudged(f"{name}: {side}", target="an artifact", note=outcome.broken.get(side) or outcome.results[side].error)
        for side in missing
    ]
    if FASTEST not in missing:
        bars += [never_slower(outcome, seed=seed), *accuracy(outcome, FASTEST)]
        if outcome.entry.plain_resnet:
            bars.append(against(outcome, outcome.best_peer(), limit=ON_RESNETS, seed=seed))
        if outcome.entry.depthwise:
            bars.append(against(outcome, outcome.best_peer(all_int8=True), limit=ON_DEPTHWISE, seed=seed))
    if SMALLEST not in missing:
        bars += [smallest(outcome), *accuracy(outcome, SMALLEST)]
    return bars


def never_slower(outcome: Outcome, *, seed: int) -> Bar:
    """Return the bar "never slower than the original"; the same work is reported, not judged by chance."""
    label = outcome.results[FASTEST].label
    name = f"{outcome.entry.name}: latency ({label})"
    if FASTEST in outcome.alike:
        return reported(name, outcome.ratios(FASTEST), unit="x", peer=ORIGINAL, note=outcome.alike[FASTEST])
    return paired(name, ratios=outcome.ratios(FASTEST), same=outcome.again(), limit=1.0, peer=ORIGINAL, seed=seed)


def against(outcome: Outcome, peer: str | None, *, limit: float, seed: int) -> Bar:
    """Return the bar against the best recipe of the peers."""
    name = f"{outcome.entry.name}: against the best recipe"
    if peer is None:
        return unjudged(name, target=f"<= {limit:g} x", note="no peer's file runs and keeps accuracy")
    return paired(name, ratios=outcome.ratios(FASTEST, peer), same=outcome.again(), limit=limit, peer=peer, seed=seed)


def smallest(outcome: Outcome) -> Bar:
    """Return the bar on size: against the smallest file that keeps accuracy, the original's among them."""
    peer = min((ORIGINAL, *outcome.peers()), key=lambda side: outcome.sizes[side])
    ratio = outcome.sizes[SMALLEST] / outcome.sizes[peer]
    note = outcome.results[SMALLEST].label
    return at_most(f"{outcome.entry.name}: size", [ratio], unit="x", limit=ON_SIZE, peer=peer, note=note)


def accuracy(outcome: Outcome, side: str) -> list[Bar]:
    """Return the bars on the drop of one of our choices; where n cannot resolve it, one on the interval's far end."""
    case, fidelity = outcome.case, outcome.fidelity[side]
    name = f"{outcome.entry.name}: {fidelity.metric} lost, {side.rpartition(' ')[2]}"
    drop = fidelity.drop
    drawn = [100 * drop.value]
    if not judged_strictly(case):
        return [reported(name, drawn, unit=fidelity.unit, peer=ORIGINAL, note=case.note)]
    budget = 100 * (case.max_drop or 0.0)
    bar = Bar(
        name=name, value=drawn[0], unit=fidelity.unit, n=fidelity.n, low=100 * drop.low, high=100 * drop.high,
        target=f"<= {budget:g} {fidelity.unit}", peer=ORIGINAL,
        verdict="held" if 100 * drop.high <= budget else "missed",
    )  # fmt: skip
    if resolved(fidelity, case):
        return [bar]
    note = f"n = {fidelity.n} cannot resolve {budget:g} {fidelity.unit}"
    judged = at_most(f"{name}, far end", [100 * drop.high], unit=fidelity.unit, limit=100 * FAR_END, note=note)
    return [judged]


def geometric_mean(outcomes: Sequence[Outcome], listed: int, *, seed: int) -> list[Bar]:
    """Return the bar over the whole list: our choices against each single recipe applied to all, the best one judged.

    A recipe that gives no file for a model counts there as the original unchanged, and so do we.
    """
    target = f"<= {ON_ALL:g} x"
    if not outcomes:
        return [unjudged("geometric mean", target=target, note="no model was measured")]
    count = min(len(outcome.timings) for outcome in outcomes)
    same = [_mean([outcome.again()[turn] for outcome in outcomes]) for turn in range(count)]
    means = {
        recipe.name: [_mean([outcome.ratios(recipe.name)[turn] for outcome in outcomes]) for turn in range(count)]
        for recipe in RECIPES
    }
    best = min(means, key=lambda name: statistics.median(means[name]))
    ours = [_mean([outcome.ratios(FASTEST)[turn] for outcome in outcomes]) for turn in range(count)]
    ratios = [mine / theirs for mine, theirs in zip(ours, means[best], strict=True)]
    name = f"geometric mean over {len(outcomes)} of {listed} models"
    bar = paired(name, ratios=ratios, same=same, limit=ON_ALL, peer=best, seed=seed)
    if len(outcomes) < listed:
        bar = unjudged(name, target=target, note=f"{bar.value:.3g} x on these alone", peer=best)
    return [
        bar,
        reported("geometric mean: edgeship", ours, unit="x", peer=ORIGINAL),
        *(
            reported(f"geometric mean: {name}", values, unit="x", peer=ORIGINAL, note=_counted(outcomes, name))
            for name, values in means.items()
        ),
    ]


def wall_time(seconds: Mapping[str, Sequence[float]], *, ours: str, peer: str) -> list[Bar]:
    """Return the bars on the time of one command, from interleaved repeats."""
    ratios = [mine / theirs for mine, theirs in zip(seconds[ours], seconds[peer], strict=True)]
    name = "one command with defaults"
    judged = at_most(f"{name}: time", ratios, unit="x", limit=1.0, peer=peer)
    if len(ratios) < 3:
        judged = unjudged(f"{name}: time", target="<= 1 x", note=f"{len(ratios)} repeats", peer=peer)
    return [judged, *(reported(f"{name}: {tool}", taken, unit="s") for tool, taken in seconds.items())]


def _counted(outcomes: Sequence[Outcome], name: str) -> str:
    absent = sum(name not in outcome.fidelity for outcome in outcomes)
    lost = sum(name in outcome.fidelity and not outcome.keeps(name) for outcome in outcomes)
    words = [
        f"no file for {absent}, counted as the original" if absent else "",
        f"loses accuracy on {lost}" if lost else "",
    ]
    return "; ".join(word for word in words if word)


def _mean(values: Sequence[float]) -> float:
    return statistics.geometric_mean(values)


__all__ = ["PROCESSES", "Outcome", "bars_of", "geometric_mean", "unjudged", "wall_time"]
