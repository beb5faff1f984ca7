"""Charts of pairs: a ring for the original and a dot for the winner, a row for each class or size of the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optimizer.metrics.changes import ClassChange, QuantileChange
from optimizer.metrics.interval import Interval
from optimizer.report.charts import BAR_LEFT, BAR_RIGHT, Tick
from optimizer.report.geometry import scale

MOST_ROWS = 24
"""More classes than this are cut to those that lost most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """One row: its ``n`` holdout rows, both figures in words, the drop, and where ring and dot lie."""

    name: str
    n: int
    original: str
    winner: str
    change: str
    drop: Interval
    worse: bool
    top: float
    x_original: float
    x_winner: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairChart:
    """Original beside winner; ``left_out`` rows did not fit."""

    height: float
    ticks: tuple[Tick, ...]
    rows: tuple[PairRow, ...]
    left_out: int


def class_chart(classes: Sequence[ClassChange], names: Sequence[str]) -> PairChart:
    """Return the share that is right by class; classes without a name go by their number."""
    by_loss = sorted(classes, key=lambda one: (-one.drop.value, one.label))[:MOST_ROWS]
    kept = sorted(by_loss, key=lambda one: one.label)
    rows = [
        (
            names[one.label] if 0 <= one.label < len(names) else str(one.label),
            one.n,
            one.original,
            one.candidate,
            one.drop,
        )
        for one in kept
    ]
    return _chart(rows, _per_cent, higher_is_better=True, most=1.0, left_out=len(classes) - len(kept))


def quantile_chart(quantiles: Sequence[QuantileChange]) -> PairChart:
    """Return the root mean squared error by size of the target."""
    rows = [(f"{one.low:.4g} to {one.high:.4g}", one.n, one.original, one.candidate, one.drop) for one in quantiles]
    return _chart(rows, _plain, higher_is_better=False, most=0.0, left_out=0)


def _chart(
    given: Sequence[tuple[str, int, float, float, Interval]],
    in_words: Callable[[float], str],
    *,
    higher_is_better: bool,
    most: float,
    left_out: int,
) -> PairChart:
    """Lay the rows out; the scale covers ``most`` too."""
    figures = [figure for _, _, original, winner, _ in given for figure in (original, winner)]
    across = scale([*figures, most], start=BAR_LEFT, end=BAR_RIGHT)
    rows = tuple(
        PairRow(
            name=name,
            n=n,
            original=in_words(original),
            winner=in_words(winner),
            change=_change(-drop.value) if higher_is_better else _change(drop.value, " %"),
            drop=drop,
            worse=winner < original if higher_is_better else winner > original,
            top=34.0 + 24 * place,
            x_original=across(original),
            x_winner=across(winner),
        )
        for place, (name, n, original, winner, drop) in enumerate(given)
    )
    shown = [tick for tick in across.ticks if tick <= max(*figures, most)]
    ticks = tuple(Tick(at=across(tick), text=in_words(tick).replace(".0 %", " %")) for tick in shown)
    return PairChart(height=44.0 + 24 * len(rows), ticks=ticks, rows=rows, left_out=left_out)


def _per_cent(figure: float) -> str:
    return f"{100 * figure:.1f} %"


def _change(share: float, unit: str = "") -> str:
    """Return the change with its sign; nothing where it rounds to nothing."""
    return f"{100 * share:+.1f}{unit}" if round(100 * share, 1) else ""


def _plain(figure: float) -> str:
    return f"{figure:.4g}"
