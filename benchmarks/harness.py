"""The stopwatch and the verdict that every benchmark uses.

A benchmark makes ``Bar``s and hands them to ``finish``, which prints the table (value, n, spread,
target, peer) or the same as JSON and exits 1 when a bar is missed.

**One rule judges every latency bar** (``paired``): A and B alternate in at least 7 fresh processes
in random order; the value is the median of the per-process ratios of their p50s with a bootstrap
95 % interval; an A/A pair of the reference runs beside it. Held means that the interval's upper end is at
most the bar plus the A/A half-width. An A/A half-width above 0.03 reads "not resolved" and does
not count as held. All runs are kept, none chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

BOOTSTRAPS = 2000
RESOLUTION = 0.03
PROCESSES = 7
DATA_VARIABLE = "EDGESHIP_DATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar and what was measured against it.

    ``verdict`` is ``held``, ``missed``, ``not resolved`` or ``reported`` (no target was set).
    """

    name: str
    value: float
    unit: str
    n: int
    low: float
    high: float
    target: str
    peer: str
    verdict: str
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the bar stands as a success."""
        return self.verdict in ("held", "reported")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    quick: bool
    json: bool
    data: Path | None
    seed: int


def options(question: str) -> Options:
    """Return the command line of a benchmark that answers the question."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--quick", action="store_true", help="fewer repeats: to see that it works, not to judge")
    parser.add_argument("--json", action="store_true", help="the bars as JSON on stdout")
    parser.add_argument("--data", type=Path, default=None, help="folder of models and data (or EDGESHIP_DATA)")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    named = os.environ.get(DATA_VARIABLE)
    data = arguments.data or (Path(named) if named else None)
    return Options(quick=arguments.quick, json=arguments.json, data=data, seed=arguments.seed)


def at_most(  # one call states a whole bar
    name: str, samples: Sequence[float], *, unit: str, limit: float, peer: str = "", note: str = ""
) -> Bar:
    """Return the bar "median at most the limit", with the samples' range as its spread."""
    value = statistics.median(samples)
    return Bar(
        name=name,
        value=value,
        unit=unit,
        n=len(samples),
        low=min(samples),
        high=max(samples),
        target=f"<= {limit:g} {unit}".strip(),
        peer=peer,
        verdict="held" if value <= limit else "missed",
        note=note,
    )


def reported(name: str, samples: Sequence[float], *, unit: str, peer: str = "", note: str = "") -> Bar:
    """Return a figure without a target: median and range."""
    return Bar(
        name=name,
        value=statistics.median(samples),
        unit=unit,
        n=len(samples),
        low=min(samples),
        high=max(samples),
        target="",
        peer=peer,
        verdict="reported",
        note=note,
    )


def paired(name: str, *, ratios: Sequence[float], same: Sequence[float], limit: float, peer: str, seed: int = 7) -> Bar:
    """Return the latency bar by the one rule.

    Args:
        name: what is compared.
        ratios: one A/B ratio of p50s for each fresh process, in the order they ran.
        same: one A/A ratio of the reference for each of those processes.
        limit: the bar on the ratio.
        peer: what B is.
        seed: of the bootstrap.
    """
    low, high = bootstrap_interval(ratios, seed=seed)
    same_low, same_high = bootstrap_interval(same, seed=seed)
    half_width = (same_high - same_low) / 2
    if len(ratios) < PROCESSES or half_width > RESOLUTION:
        verdict = "not resolved"
    else:
        verdict = "held" if high <= limit + half_width else "missed"
    return Bar(
        name=name,
        value=statistics.median(ratios),
        unit="x",
        n=len(ratios),
        low=low,
        high=high,
        target=f"<= {limit:g} x",
        peer=peer,
        verdict=verdict,
        note=f"A/A half-width {half_width:.3f}",
    )


def bootstrap_interval(values: Sequence[float], *, seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median."""
    chance = random.Random(seed)  # noqa: S311 (resampling, no secret)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(BOOTSTRAPS))
    return medians[int(BOOTSTRAPS * 0.025)], medians[int(BOOTSTRAPS * 0.975)]


def in_fresh_processes(module: str, arguments: Sequence[str], *, processes: int, seed: int) -> list[dict[str, float]]:
    """Run ``python -m module ARGUMENTS --order SEED`` in fresh processes; return the JSON each printed.

    The child alternates A and B in an order drawn from its seed and prints one JSON object.

    Raises:
        subprocess.CalledProcessError: a child failed; its own words are on stderr.
    """
    chance = random.Random(seed)  # noqa: S311 (an order, no secret)
    answers = []
    for _ in range(processes):
        command = [sys.executable, "-m", module, *arguments, "--order", str(chance.randrange(1 << 30))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        answers.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return answers


def alternate(sides: dict[str, Callable[[], float]], *, rounds: int, order: int) -> dict[str, float]:
    """Call every side ``rounds`` times in a freshly shuffled order each round; return each one's median."""
    chance = random.Random(order)  # noqa: S311 (an order, no secret)
    samples: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for _ in range(rounds):
        chance.shuffle(names)
        for name in names:
            samples[name].append(sides[name]())
    return {name: statistics.median(taken) for name, taken in samples.items()}


def finish(question: str, bars: Sequence[Bar], chosen: Options) -> int:
    """Print the bars; return 0 where all hold, else 1."""
    if chosen.json:
        rows = [
            {
                "bar": bar.name,
                "value": bar.value,
                "unit": bar.unit,
                "n": bar.n,
                "low": bar.low,
                "high": bar.high,
                "target": bar.target,
                "peer": bar.peer,
                "verdict": bar.verdict,
                "holds": bar.holds,
            }
            for bar in bars
        ]
        print(json.dumps(rows))
    else:
        print_table(question, bars)
    return 0 if all(bar.holds for bar in bars) else 1


def print_table(question: str, bars: Sequence[Bar]) -> None:
    """Print the bars for a person."""
    print(question)
    rows = [("bar", "value", "spread", "n", "target", "against", "verdict")]
    rows += [
        (
            bar.name,
            f"{bar.value:.4g} {bar.unit}".strip(),
            f"{bar.low:.4g} .. {bar.high:.4g}",
            str(bar.n),
            bar.target or "-",
            bar.peer or "-",
            bar.verdict + (f" ({bar.note})" if bar.note else ""),
        )
        for bar in bars
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
