"""Everything that was measured of one model, and its table."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.conversion.answers import CLOSE, Compared
from benchmarks.conversion.converters import LITERT_TORCH, OURS, UNROLLED, Converted
from benchmarks.conversion.timing import AGAIN

TRANSPOSE: Final = "TRANSPOSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was measured of one model, by side; ``broken`` says of a file why it does not run.

    ``timings`` has one entry a process: seconds of one call. ``conversions`` are seconds of fresh processes, ours and
    litert-torch's, one after the other.
    """

    name: str
    converted: Mapping[str, Converted]
    operators: Mapping[str, Counter[str]]
    sizes: Mapping[str, int]
    compared: Mapping[str, Compared]
    broken: Mapping[str, str]
    timings: Sequence[Mapping[str, float]] = ()
    conversions: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether our file loads, and runs."""
        return OURS in self.compared

    @property
    def peers(self) -> list[str]:
        """The peers whose file answers as the model does: only with these is anything compared."""
        ours = (OURS, UNROLLED)
        return [name for name, found in self.compared.items() if name not in ours and found.error <= CLOSE]

    def count(self, side: str) -> int:
        """Return how many operators a side's file has."""
        return self.operators[side].total()

    def transposes(self, side: str) -> int:
        """Return how many of them move data to another order of axes.

        An output that a file gives in another order than the model's is one more: whoever reads it has to move it.
        """
        return self.operators[side][TRANSPOSE] + sum(one.turned for one in self.compared[side].outputs)

    def fastest(self) -> str | None:
        """Return the peer with the lowest median latency."""
        return min(self.peers, key=self._median, default=None) if self.timings else None

    def chosen(self) -> str:
        """Return the form of ours that the measurement chooses: the faster one where there are two."""
        return min((side for side in (OURS, UNROLLED) if side in self.timings[0]), key=self._median)

    def ratios(self, peer: str) -> list[float]:
        """Return the latency of our chosen form over the peer's, one for each process."""
        return [one[self.chosen()] / one[peer] for one in self.timings]

    def _median(self, side: str) -> float:
        return statistics.median(one[side] for one in self.timings)

    def again(self) -> list[float]:
        """Return our latency over our own, opened twice, one for each process."""
        return [one[AGAIN] / one[OURS] for one in self.timings]

    def conversion(self) -> float | None:
        """Return our conversion time over litert-torch's; None where it converts nothing."""
        if LITERT_TORCH not in self.peers or not self.conversions.get(OURS):
            return None
        return statistics.median(self.conversions[OURS]) / statistics.median(self.conversions[LITERT_TORCH])


def table_of(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return one line a side, the heading first."""
    rows: list[tuple[str, ...]] = [
        ("side", "error", "operators", "transposes", "size kB", "latency us", "ratio", "convert s", "note")
    ]
    for side, made in outcome.converted.items():
        seconds = statistics.median(outcome.conversions.get(side) or [made.seconds])
        if side not in outcome.compared:
            rows.append((side, *["-"] * 6, f"{seconds:.1f}", (outcome.broken.get(side) or made.error)[:160]))
            continue
        found = outcome.compared[side]
        taken = [one[side] for one in outcome.timings if side in one]
        ours = [one[OURS] for one in outcome.timings if OURS in one and side in one]
        rows.append((
            side,
            " ".join(f"{kind} {error:.0e}" for kind, error in found.worst.items()),
            str(outcome.count(side)),
            str(outcome.transposes(side)),
            f"{outcome.sizes[side] / 1000:.1f}",
            f"{1e6 * statistics.median(taken):.1f}" if taken else "-",
            f"{statistics.median(ours) / statistics.median(taken):.3f}" if taken and ours else "-",
            f"{seconds:.1f}",
            "; ".join(_notes(outcome, side, found)),
        ))  # fmt: skip
    return rows


def print_outcome(outcome: Outcome) -> None:
    """Print one model's table."""
    rows = table_of(outcome)
    print(f"\n{outcome.name}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)


def _notes(outcome: Outcome, side: str, found: Compared) -> list[str]:
    notes = [] if found.error <= CLOSE else ["answers otherwise: not compared"]
    notes += [] if found.repeats else ["answers the same row differently the second time"]
    turned = [
        kind for kind, layouts in (("in", found.inputs), ("out", found.outputs)) if any(one.turned for one in layouts)
    ]
    notes += [f"channel last {' and '.join(turned)}"] if turned else []
    return [*notes, ", ".join(f"{count} {name}" for name, count in outcome.operators[side].most_common(6))]
