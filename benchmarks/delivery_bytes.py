"""How many bytes move a model to its next version: ours against full file, zstd, patch-from, bsdiff4 and fixed chunks?

The versions are made by really training (``benchmarks/delivery``) and kept under ``.peers/delivery``; delete that
folder to make them again. Whole artifacts are sent, as in the fleet. bsdiff4 is for this table alone: install it with
``pip install bsdiff4``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.delivery.training import ALL_LAYERS, NETWORKS
from benchmarks.delivery.versions import BASE, Version, versions_of
from benchmarks.delivery.ways import PATCH, Ours, ours, rivals
from benchmarks.delivery.weights import share_changed
from benchmarks.harness import Bar, finish, options, reported

QUESTION: Final = "How many bytes move a model to its next version, against the best other way?"
KEPT: Final = Path(".peers") / "delivery"
INT8_TIMES, INT8_PATCH_TIMES, FP32_TIMES = 1.2, 1.5, 1.25
ALLOWED_RATIO, ALLOWED_BYTES = 1.02, 64
LEAST_SHARE: Final = 0.1
_QUICK: Final = ("adult",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One next version, every way's bytes, ours, the share of weights changed, and points of accuracy gained."""

    version: Version
    others: dict[str, int]
    own: Ours
    share: float
    gained: float

    @property
    def best(self) -> int:
        """Bytes of the best other way."""
        return min(self.others.values())

    def __str__(self) -> str:
        """Return the row as the table shows it: percent of the full file and bytes."""
        full = len(self.version.artifact)
        cells = [f"{100 * size / full:6.2f} {size:>8,}" for size in (*list(self.others.values())[1:], self.own.length)]
        seconds = f"{self.own.make_s:5.1f} {self.own.apply_s:5.1f}"
        name = f"{self.version.network:<10}{self.version.kind:<12}{self.version.change:<34}"
        times = f"{self.best / self.own.length:5.2f} x"
        told = f"{100 * self.share:6.1f} % {self.gained:+6.2f}"
        return f"{name}{full:>10,} | {' | '.join(cells)} | {times} | {told} | {seconds}"


def main() -> int:
    """Run the benchmark; exit 1 when a bar is missed."""
    chosen = options(QUESTION)
    if chosen.data is None:
        sys.stderr.write("give the folder of models and data: --data FOLDER, or EDGESHIP_DATA\n")
        return 2
    out = sys.stderr if chosen.json else sys.stdout
    print(HEAD, file=out)
    bars: list[Bar] = []
    for name in _QUICK if chosen.quick else NETWORKS:
        for row in rows(name, chosen.data):
            print(row, file=out, flush=True)
            bars += judged(row)
    return finish(QUESTION, bars, chosen)


HEAD: Final = (
    f"{'network':<10}{'kind':<12}{'change':<34}{'full':>10} | {'zstd 19, %':>15} | {'patch-from, %':>15} | "
    f"{'bsdiff4, %':>15} | {'64 KiB, %':>15} | {'ours, %':>15} | best/us | weights, points | make, apply s"
)


def rows(name: str, data: Path) -> Iterator[Row]:
    """Yield the rows of one network."""
    bases: dict[str, Version] = {}
    for version in versions_of(NETWORKS[name](data), KEPT):
        if version.change == BASE:
            bases[version.kind] = version
            continue
        base = bases[version.kind]
        yield Row(
            version=version,
            others=rivals(base.artifact, version.artifact),
            own=ours(base.artifact, version.artifact),
            share=share_changed(base.artifact, version.artifact),
            gained=100 * (version.accuracy - base.accuracy),
        )


def judged(row: Row) -> Iterator[Bar]:
    """Yield the bars of one row; a fine-tune that moved under a tenth of the weights is reported, not judged."""
    name = f"{row.version.network}, {row.version.kind}, {row.version.change}"
    if row.version.change not in ALL_LAYERS:
        limit = max(ALLOWED_RATIO * row.best, row.best + ALLOWED_BYTES)
        yield _bar(name, row.own.length, unit="bytes", target=f"<= {limit:.0f}", held=row.own.length <= limit)
        return
    least = FP32_TIMES if "fp32" in row.version.kind else INT8_TIMES
    times = row.best / row.own.length
    if row.share < LEAST_SHARE:
        note = f"{100 * row.share:.1f} % of the weights changed; with 10 % the bar were {least:g} x"
        yield reported(f"{name}: best / ours", [times], unit="x", peer="best other", note=note)
        times = row.others[PATCH] / row.own.length
        yield reported(f"{name}: patch-from / ours", [times], unit="x", peer="zstd patch-from", note=note)
        return
    yield _bar(f"{name}: best / ours", times, unit="x", target=f">= {least:g}", held=times >= least)
    if "int8" in row.version.kind:
        times = row.others[PATCH] / row.own.length
        held = times >= INT8_PATCH_TIMES
        yield _bar(f"{name}: patch-from / ours", times, unit="x", target=f">= {INT8_PATCH_TIMES:g}", held=held)


def _bar(name: str, value: float, *, unit: str, target: str, held: bool) -> Bar:
    verdict = "held" if held else "missed"
    return Bar(
        name=name, value=value, unit=unit, n=1, low=value, high=value, target=target, peer="best other", verdict=verdict
    )


if __name__ == "__main__":
    sys.exit(main())
