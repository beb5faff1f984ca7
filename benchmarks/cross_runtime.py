"""Does searching over runtimes pay: is the choice the best of both, and how far from any one recipe on one runtime?

For each model of the fixed list (``peers.cases``): the search's choice beside the best candidate of each runtime alone,
and beside every recipe of the peers (made by ``optimizer_vs_peers``, kept in the same cache), timed call by call in
turn in fresh processes.
"""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Sequence

from benchmarks.harness import Bar, Options, finish, paired, reported
from benchmarks.optimizer_vs_peers import asked_for, outcome_of
from benchmarks.peers import bars
from benchmarks.peers.bars import FASTEST, Outcome
from benchmarks.peers.cases import FIXED, NotHere
from benchmarks.peers.progress import Progress
from benchmarks.peers.recipes import RECIPES
from benchmarks.peers.tables import print_outcome
from benchmarks.peers.timing import ORIGINAL

QUESTION = "Is the choice over all runtimes the best of each, and how far ahead of one recipe for all models?"
OF_BOTH, OF_ONE_RECIPE = 1.0, 0.75


def main() -> int:
    """Measure, print tables, the wins by runtime and the bars; return 0 where all bars hold."""
    asked = asked_for()
    outcomes: list[Outcome] = []
    judged: list[Bar] = []
    progress = Progress(len(asked.models))
    for entry in (entry for entry in FIXED if entry.name in asked.models):
        progress.begin(entry.name)
        try:
            outcome = outcome_of(entry, entry.load(asked.places), asked, progress, by_runtime=True)
        except NotHere as error:
            judged.append(bars.unjudged(entry.name, target="a measurement", note=str(error)))
            continue
        outcomes.append(outcome)
        judged.append(against_each_runtime(outcome, seed=asked.places.seed))
        if not asked.json:
            print_outcome(outcome)
    if not asked.json:
        print_wins(outcomes)
    judged += over_the_list(outcomes, len(FIXED), seed=asked.places.seed)
    return finish(QUESTION, judged, Options(quick=asked.quick, json=asked.json, data=asked.places.data, seed=7))


def against_each_runtime(outcome: Outcome, *, seed: int) -> Bar:
    """Return the bar "no runtime's best candidate is faster than the choice"."""
    name = f"{outcome.entry.name}: the choice against the best of each runtime"
    target = f"<= {OF_BOTH:g} x"
    timed = [one for one in outcome.results[FASTEST].runtimes if one.name in outcome.fidelity]
    if FASTEST not in outcome.fidelity or not timed:
        return bars.unjudged(name, target=target, note=outcome.results[FASTEST].error or "no candidate holds")
    best = min(timed, key=lambda one: statistics.median(outcome.ratios(one.name)))
    if best.label == outcome.results[FASTEST].label:
        note = f"the choice itself: {best.label}; of {len(timed)} runtime{'s' if len(timed) > 1 else ''}"
        return reported(name, outcome.ratios(FASTEST, best.name), unit="x", peer=best.name, note=note)
    ratios = outcome.ratios(FASTEST, best.name)
    return paired(
        name, ratios=ratios, same=outcome.again(), limit=OF_BOTH, peer=f"{best.name}: {best.label}", seed=seed
    )


def print_wins(outcomes: Sequence[Outcome]) -> None:
    """Print which runtime won how often, and on which models."""
    chosen = {one.entry.name: one.results[FASTEST].path for one in outcomes if FASTEST in one.fidelity}
    runtimes = {
        name: "LiteRT" if path and path.suffix == ".tflite" else "ONNX Runtime" for name, path in chosen.items()
    }
    print("\nwins by runtime")
    for runtime, count in Counter(runtimes.values()).most_common():
        print(f"  {runtime:12s}  {count:2d}  {', '.join(name for name, won in runtimes.items() if won == runtime)}")


def over_the_list(outcomes: Sequence[Outcome], listed: int, *, seed: int) -> list[Bar]:
    """Return the bar over all models: our choices against the best single recipe applied to all."""
    target = f"<= {OF_ONE_RECIPE:g} x"
    if not outcomes:
        return [bars.unjudged("geometric mean", target=target, note="no model was measured")]
    turns = range(min(len(outcome.timings) for outcome in outcomes))

    def means(side: str) -> list[float]:
        return [statistics.geometric_mean(outcome.ratios(side)[turn] for outcome in outcomes) for turn in turns]

    same = [statistics.geometric_mean(outcome.again()[turn] for outcome in outcomes) for turn in turns]
    best = min((recipe.name for recipe in RECIPES), key=lambda name: statistics.median(means(name)))
    ours, theirs = means(FASTEST), means(best)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    name = f"geometric mean over {len(outcomes)} of {listed} models"
    return [
        paired(name, ratios=ratios, same=same, limit=OF_ONE_RECIPE, peer=best, seed=seed),
        reported("geometric mean: edgeship", ours, unit="x", peer=ORIGINAL),
        reported(f"geometric mean: {best}", theirs, unit="x", peer=ORIGINAL),
    ]


if __name__ == "__main__":
    sys.exit(main())
