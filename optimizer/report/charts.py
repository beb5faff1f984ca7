"""The charts of a report, laid out from the figures of a search."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from optimizer.metrics.fidelity import Fidelity
from optimizer.report.geometry import CHARACTER_WIDTH, Box, Label, Mark, Scale, front, place_labels, radius_of, scale
from optimizer.search.candidate import Candidate, Search, Verdict
from optimizer.words import latency_in_words, size_in_words

WIDTH, HEIGHT = 1040.0, 400.0
_PLOT = Box(left=64, top=20, right=1020, bottom=350)
_WIDEST_BUBBLE = 24.0
_MOST_NAMES = 8
"""Of more candidates than that, bubbles far from the choice go without a name."""
_FAR_RATIO, _FAR_DROPS, _USUAL_DROP = 4.0, 10.0, 0.01
"""Beyond four times the latency of original and winner, or ten times the allowed drop, a bubble is at the edge."""
_HOLDS = frozenset({Verdict.WINNER, Verdict.FRONT, Verdict.DOMINATED})
_ROW_HEIGHT = 30.0
BAR_LEFT, BAR_RIGHT = 190.0, 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A grid line: its coordinate and its words."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """A candidate in the scatter; ``kind`` is its verdict, or ``original``; of many some have no label."""

    mark: Mark
    label: Label | None
    kind: str
    title: str

    @property
    def is_winner(self) -> bool:
        """Whether it is the winner's, which lies above the others."""
        return self.kind == Verdict.WINNER


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Latency here across, the metric upwards; ``region`` is what the budget leaves, ``front`` joins the best."""

    plot: Box
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bubbles: tuple[Bubble, ...]
    front: str
    region: Box | None
    limit_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of the bars of size."""

    name: str
    top: float
    width: float
    kind: str
    text: str
    text_x: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Sizes of the files, with the budget as a line where there is one inside the chart."""

    left: float
    height: float
    bars: tuple[Bar, ...]
    limit: Tick | None


def scatter(search: Search) -> Scatter:
    """Return the scatter of all candidates and the original; what lies far off is drawn at the edge and says so."""
    fidelity = search.original_fidelity
    points = [_point(search, one) for one in search.candidates]
    points.append((search.original_latency.p50_ms, fidelity.value))
    limit = _limit(search)
    limit_text = "" if limit is None else f"budget: {_bound_words(fidelity)} {fidelity.in_words(limit)}"
    x_scale = scale([x * 1.08 for x, _ in points], start=_PLOT.left, end=_PLOT.right, from_zero=True, steps=8)
    y_scale = _y_scale([y for _, y in points] + ([] if limit is None else [limit]), fidelity)
    line = [(x_scale(x), y_scale(y)) for x, y in _front_points(search)]
    clear = (() if limit is None else _limit_box(y_scale(limit), limit_text)) + _along(line)
    return Scatter(
        plot=_PLOT,
        x_ticks=tuple(Tick(at=x_scale(tick), text=f"{tick:g}") for tick in x_scale.ticks),
        y_ticks=tuple(Tick(at=y_scale(tick), text=_tick_text(fidelity, tick)) for tick in y_scale.ticks),
        bubbles=_bubbles(search, x_scale, y_scale, clear=clear),
        front=" ".join(f"{x:.1f},{y:.1f}" for x, y in line),
        region=None if limit is None else _region(y_scale(limit), fidelity),
        limit_text=limit_text,
    )


def bars(search: Search) -> Bars:
    """Return the sizes of the original and all candidates, smallest last in the order of the search."""
    named = [("original", search.original.size_bytes, "original")]
    named += [(one.label, one.size_bytes, one.verdict.value) for one in search.candidates]
    largest = max(size for _, size, _ in named)
    budget = search.budget.max_size_bytes
    if budget is not None and budget <= 1.5 * largest:
        largest = max(largest, budget)
    left = max(BAR_LEFT, max(len(name) for name, _, _ in named) * CHARACTER_WIDTH + 24)
    reach = (BAR_RIGHT - left) / largest
    limit = None
    if budget is not None and budget <= largest:
        limit = Tick(at=left + budget * reach, text=f"budget {size_in_words(budget)}")
    rows = tuple(
        Bar(
            name=name,
            top=24 + place * _ROW_HEIGHT,
            width=max(size * reach, 1.0),
            kind=kind,
            text=size_in_words(size),
            text_x=_beside(left + size * reach, size_in_words(size), limit),
        )
        for place, (name, size, kind) in enumerate(named)
    )
    return Bars(left=left, height=34 + len(rows) * _ROW_HEIGHT, bars=rows, limit=limit)


def _beside(end: float, text: str, limit: Tick | None) -> float:
    """Return where a bar's figure begins: at its end, or beyond the limit's line where it would cross it."""
    begin = end + 8
    crosses = limit is not None and begin - 4 < limit.at < begin + len(text) * CHARACTER_WIDTH + 4
    return limit.at + 8 if limit is not None and crosses else begin


def _limit(search: Search) -> float | None:
    """Return the worst value of the metric that the budget allows."""
    drop = search.budget.max_drop
    return None if drop is None else search.original_fidelity.value_at(drop)


def _y_scale(figures: list[float], fidelity: Fidelity) -> Scale:
    margin = (max(figures) - min(figures)) * 0.12 or abs(max(figures)) * 0.02 or 0.1
    low, high = min(figures) - margin, max(figures) + margin
    if fidelity.unit == "points":
        low, high = max(low, 0.0), min(high, 1.0)
    return scale([low, high], start=_PLOT.bottom, end=_PLOT.top)


def _region(limit_y: float, fidelity: Fidelity) -> Box:
    if not fidelity.higher_is_better:
        return Box(left=_PLOT.left, top=limit_y, right=_PLOT.right, bottom=_PLOT.bottom)
    return Box(left=_PLOT.left, top=_PLOT.top, right=_PLOT.right, bottom=limit_y)


def _limit_box(limit_y: float, text: str) -> tuple[Box, ...]:
    """Return what the words on the limit's line and the line itself cover."""
    left = _PLOT.right - 6 - len(text) * CHARACTER_WIDTH
    return (
        Box(left=left, top=limit_y - 17, right=_PLOT.right, bottom=limit_y),
        Box(left=_PLOT.left, top=limit_y - 1, right=_PLOT.right, bottom=limit_y + 1),
    )


def _bound_words(fidelity: Fidelity) -> str:
    return f"{fidelity.title} at {'least' if fidelity.higher_is_better else 'most'}"


def _tick_text(fidelity: Fidelity, tick: float) -> str:
    return f"{100 * tick:g} %" if fidelity.in_words(0.5).endswith("%") else f"{tick:g}"


def _point(search: Search, one: Candidate) -> tuple[float, float]:
    """Return where the candidate is drawn: its median latency and its value, as far as they are near the original's."""
    fidelity = search.original_fidelity
    farthest = fidelity.value_at(_FAR_DROPS * (search.budget.max_drop or _USUAL_DROP))
    worse = max if fidelity.higher_is_better else min
    chosen = search.winner or min(search.candidates, key=lambda other: other.latency.p50_ms)
    slowest_ms = _FAR_RATIO * max(search.original_latency.p50_ms, chosen.latency.p50_ms)
    return min(one.latency.p50_ms, slowest_ms), worse(one.fidelity.value, farthest)


def _bubbles(search: Search, x_scale: Scale, y_scale: Scale, *, clear: tuple[Box, ...]) -> tuple[Bubble, ...]:
    largest = max(search.original.size_bytes, *(one.size_bytes for one in search.candidates))
    first = search.original_latency.p50_ms, search.original_fidelity.value
    points = [first, *(_point(search, one) for one in search.candidates)]
    sizes = [search.original.size_bytes, *(one.size_bytes for one in search.candidates)]
    names = ["original", *(_name(search, one) for one in search.candidates)]
    marks = [
        Mark(x=x_scale(x), y=y_scale(y), radius=radius_of(size, largest=largest, widest=_WIDEST_BUBBLE), text=name)
        for (x, y), size, name in zip(points, sizes, names, strict=True)
    ]
    named = [place for place, mark in enumerate(marks) if mark.text]
    bare = tuple(mark.box for mark in marks if not mark.text)
    labels = dict(
        zip(named, place_labels([marks[place] for place in named], _PLOT, clear=(*clear, *bare)), strict=True)
    )
    kinds = ["original", *(one.verdict.value for one in search.candidates)]
    titles = ["the model as it was given", *(_title(one) for one in search.candidates)]
    return tuple(
        Bubble(mark=mark, label=labels.get(place), kind=kind, title=title)
        for place, (mark, kind, title) in enumerate(zip(marks, kinds, titles, strict=True))
    )


def _name(search: Search, one: Candidate) -> str:
    """Return what is written beside the bubble; of many candidates only those that the choice was between."""
    many = len(search.candidates) > _MOST_NAMES
    if many and one.verdict not in (Verdict.WINNER, Verdict.FRONT):
        return ""
    drawn = _point(search, one)
    far = "" if drawn == (one.latency.p50_ms, one.fidelity.value) else ", off the scale"
    return f"{one.label}, {size_in_words(one.size_bytes)}{far}"


def _title(one: Candidate) -> str:
    figure = one.fidelity.in_words(one.fidelity.value)
    return f"{one.label}: {figure}, {latency_in_words(one.latency.p50_ms)}, {size_in_words(one.size_bytes)}"


def _front_points(search: Search) -> list[tuple[float, float]]:
    """Return the front among those that hold the budgets, as drawn; nothing for fewer than two."""
    points = [_point(search, one) for one in search.candidates if one.verdict in _HOLDS]
    best = front(points, higher_is_better=search.original_fidelity.higher_is_better)
    return [points[place] for place in best] if len(best) > 1 else []


def _along(line: list[tuple[float, float]]) -> tuple[Box, ...]:
    """Return small boxes on the line, so that labels leave it free."""
    return tuple(
        Box(left=x - 3, top=y - 3, right=x + 3, bottom=y + 3)
        for (x1, y1), (x2, y2) in pairwise(line)
        for x, y in ((x1 + (x2 - x1) * step / 40, y1 + (y2 - y1) * step / 40) for step in range(41))
    )
