"""One table a model: every side with its latency, size, answers and what it took to make it."""

from __future__ import annotations

import statistics

from benchmarks.peers.bars import Outcome
from benchmarks.peers.timing import ORIGINAL


def print_outcome(outcome: Outcome) -> None:
    """Print one model's table."""
    rows = table_of(outcome)
    print(
        f"\n{outcome.entry.name}: {outcome.case.note or 'its own data'}; n = {outcome.case.scored.count}"
        + ("; the searches judged by the scored rows" if outcome.case.seen else "")
    )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)


def table_of(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return one model's table, its heading first."""
    rows: list[tuple[str, ...]] = [
        ("side", "latency", "spread", "size", "metric", "drop [95 %]", "seconds", "MB", "note")
    ]
    for name in (ORIGINAL, *outcome.results):
        result = outcome.results.get(name)
        if name not in outcome.fidelity:
            why = outcome.broken.get(name) or (result.error if result else "")
            rows.append((name, "-", "-", "-", "-", "-", f"{result.seconds:.1f}" if result else "-", "-", why[:110]))
            continue
        fidelity, ratios = outcome.fidelity[name], outcome.ratios(name)
        drop = fidelity.drop
        notes = [result.label if result else f"{1e6 * statistics.median(t[ORIGINAL] for t in outcome.timings):.1f} us"]
        notes += [outcome.alike.get(name, ""), "" if outcome.keeps(name) else "loses accuracy"]
        rows.append((
            name,
            f"{statistics.median(ratios):.3f}",
            f"{min(ratios):.3f} .. {max(ratios):.3f}",
            f"{outcome.sizes[name] / outcome.sizes[ORIGINAL]:.3f}",
            fidelity.in_words(fidelity.value),
            f"{100 * drop.value:+.2f} [{100 * drop.low:+.2f} {100 * drop.high:+.2f}]",
            f"{result.seconds:.1f}" if result else "-",
            f"{result.peak_rss_bytes / 1e6:.0f}" if result else "-",
            "; ".join(note for note in notes if note),
        ))  # fmt: skip
    return rows
