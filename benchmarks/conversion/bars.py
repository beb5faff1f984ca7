"""The bars of ``tflite_conversion``, from what was measured of every model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from benchmarks.conversion.converters import LITERT_TORCH, OURS
from benchmarks.conversion.outcome import Outcome
from benchmarks.harness import Bar, paired
from benchmarks.peers.bars import unjudged

ERROR: Final = 1e-5
LSTM_OPERATORS: Final = 5
GRU_SHARE: Final = 0.6
MEAN_LATENCY, ANY_LATENCY = 1.05, 1.15
CONVERSION: Final = 0.1

Figures = dict[str, float]


def bars_of(outcomes: Sequence[Outcome], *, asked: int, seed: int) -> list[Bar]:
    """Return every bar; one that nothing could be compared for reads "not resolved".

    Args:
        outcomes: what was measured.
        asked: how many models were asked for; one that is not here is a model that does not load.
        seed: of the bootstraps.
    """
    running = [one for one in outcomes if one.ours]
    compared = [one for one in running if one.peers]
    loads = {one.name: 0.0 if one.ours else 1.0 for one in outcomes}
    bars = [
        worst("models that do not load", loads, limit=0, note=f"{len(running)} of {asked} load", total=True),
        worst("largest error, of max|ORT|", {one.name: one.compared[OURS].error for one in running}, limit=ERROR),
        worst(
            "calls that repeat otherwise", {one.name: float(not one.compared[OURS].repeats) for one in running}, limit=0
        ),
        worst("operators, over the best peer's", {one.name: operators(one) for one in compared}, limit=1),
        worst("transposes, beyond the best peer's", {one.name: transposes(one) for one in compared}, limit=0),
        *recurrent(running),
    ]
    timed = [one for one in compared if one.timings]
    bars += latencies(timed, seed=seed)
    conversions = {one.name: share for one in running if (share := one.conversion()) is not None}
    return [*bars, worst("conversion, of litert-torch's time", conversions, limit=CONVERSION)]


def operators(outcome: Outcome) -> float:
    """Return our operators over those of the peer that has the fewest."""
    return outcome.count(OURS) / min(outcome.count(peer) for peer in outcome.peers)


def transposes(outcome: Outcome) -> float:
    """Return how many transposes we have beyond the peer that has the fewest."""
    return outcome.transposes(OURS) - min(outcome.transposes(peer) for peer in outcome.peers)


def worst(name: str, figures: Figures, *, limit: float, note: str = "", total: bool = False) -> Bar:
    """Return the bar "no model above the limit": the worst model's figure, or their sum; misses are named."""
    if not figures:
        return unjudged(name, target=f"<= {limit:g}", note="nothing to compare")
    missed = [f"{model} {figure:.3g}" for model, figure in figures.items() if not figure <= limit]
    value = sum(figures.values()) if total else max(figures.values())
    notes = [*([note] if note else []), *([f"missed by {len(missed)}: {', '.join(missed)}"] if missed else [])]
    return Bar(
        name=name, value=value, unit="", n=len(figures), low=min(figures.values()), high=max(figures.values()),
        target=f"<= {limit:g}", peer="", verdict="missed" if missed else "held", note="; ".join(notes),
    )  # fmt: skip


def recurrent(running: Sequence[Outcome]) -> list[Bar]:
    """Return the bars on the operators of the LSTM and of the GRU."""
    by_name = {one.name: one for one in running}
    lstm = {"lstm": float(by_name["lstm"].count(OURS))} if "lstm" in by_name else {}
    gru = by_name.get("gru")
    share = {"gru": gru.count(OURS) / gru.count(LITERT_TORCH)} if gru and LITERT_TORCH in gru.peers else {}
    return [
        worst("operators of the LSTM", lstm, limit=LSTM_OPERATORS),
        worst("operators of the GRU, of litert-torch's", share, limit=GRU_SHARE),
    ]


def latencies(timed: Sequence[Outcome], *, seed: int) -> list[Bar]:
    """Return the latency bars: each model's, and the geometric mean of all, against each model's fastest peer."""
    bars, all_ratios, all_again = [], [], []
    for one in timed:
        peer = one.fastest()
        if peer is None:
            continue
        ratios, again = one.ratios(peer), one.again()
        name = f"{one.name}: latency" + ("" if one.chosen() == OURS else f" of {one.chosen()}")
        bars.append(paired(name, ratios=ratios, same=again, limit=ANY_LATENCY, peer=peer, seed=seed))
        all_ratios.append(ratios)
        all_again.append(again)
    name = "latency, geometric mean"
    if not all_ratios:
        return [unjudged(name, target=f"<= {MEAN_LATENCY:g} x", note="nothing to compare")]
    mean = paired(
        name,
        ratios=[_geometric_mean(each) for each in zip(*all_ratios, strict=True)],
        same=[_geometric_mean(each) for each in zip(*all_again, strict=True)],
        limit=MEAN_LATENCY,
        peer=f"the fastest peer of each of {len(all_ratios)}",
        seed=seed,
    )
    return [*bars, mean]


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
