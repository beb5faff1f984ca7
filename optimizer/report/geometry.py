"""Where the marks of a report's charts lie: pure arithmetic from figures to coordinates, no markup.

Coordinates are those of an SVG view box: x grows to the right, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

CHARACTER_WIDTH = 6.9
"""Of 12 px text in the report's font, on the wide side: labels must not touch."""
LABEL_HEIGHT = 16.0
_GAP = 5.0
_CROSSING = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Return the shared area; 0 where they do not touch."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def contains(self, other: Box) -> bool:
        """Return whether the other lies inside."""
        inside_x = self.left <= other.left and other.right <= self.right
        return inside_x and self.top <= other.top and other.bottom <= self.bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear map from figures to coordinates, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, figure: float) -> float:
        """Return the coordinate of the figure."""
        return self.start + (figure - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One bubble: its centre, radius and the text that names it."""

    x: float
    y: float
    radius: float
    text: str

    @property
    def box(self) -> Box:
        """The square around it."""
        return Box(
            left=self.x - self.radius, top=self.y - self.radius, right=self.x + self.radius, bottom=self.y + self.radius
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Where a mark's text goes: ``x``, ``y`` is the left end of its base line; a line leads to it if it is far."""

    text: str
    x: float
    y: float
    box: Box
    leader: tuple[float, float, float, float] | None


def scale(figures: Iterable[float], *, start: float, end: float, from_zero: bool = False, steps: int = 5) -> Scale:
    """Return a scale that covers the figures with round ticks.

    Args:
        figures: at least one.
        start: coordinate of the low end.
        end: coordinate of the high end.
        from_zero: whether the scale begins at 0.
        steps: about how many ticks.
    """
    known = list(figures)
    low, high = min(known), max(known)
    low = min(low, 0.0) if from_zero else low
    if high - low < 1e-12:
        spread = abs(high) * 0.1 or 1.0
        low, high = (low if from_zero else low - spread), high + spread
    step = round_step((high - low) / steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(place * step, 12) for place in range(first, last + 1))
    return Scale(low=ticks[0], high=ticks[-1], start=start, end=end, ticks=ticks)


def round_step(rough: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least as large.

    >>> round_step(0.3)
    0.5
    """
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def radius_of(figure: float, *, largest: float, widest: float, least: float = 4.0) -> float:
    """Return the radius of a bubble whose area stands for the figure."""
    return max(least, widest * math.sqrt(figure / largest))


def front(points: Sequence[tuple[float, float]], *, higher_is_better: bool = True) -> tuple[int, ...]:
    """Return which points no other beats in both: lowest first figure, best second; in the order of the first."""
    sign = -1.0 if higher_is_better else 1.0
    order = sorted(range(len(points)), key=lambda place: (points[place][0], sign * points[place][1]))
    kept: list[int] = []
    for place in order:
        if not kept or sign * points[place][1] < sign * points[kept[-1]][1]:
            kept.append(place)
    return tuple(kept)


def place_labels(marks: Sequence[Mark], within: Box, *, clear: Sequence[Box] = ()) -> tuple[Label, ...]:
    """Return a label for each mark, in their order; boxes in ``clear`` are left free.

    Each takes the nearest place around its bubble where it covers no other label, bubble, leader or
    edge, as far as there is one; what lies far is joined to its bubble by a line, its leader.
    """
    taken = (*(mark.box for mark in marks), *clear)
    placed: dict[int, Label] = {}
    for place in sorted(range(len(marks)), key=lambda place: (marks[place].x, marks[place].y)):
        mark = marks[place]
        options = (_label(mark, box) for box in _candidates(mark, within))
        placed[place] = min(
            options,
            key=lambda label: (_cost(label, placed.values(), taken=taken, within=within), _distance(mark, label.box)),
        )
    return tuple(placed[place] for place in range(len(marks)))


def _candidates(mark: Mark, within: Box) -> Iterator[Box]:
    width = len(mark.text) * CHARACTER_WIDTH + 4
    middle = mark.y - LABEL_HEIGHT / 2
    for reach in range(0, 260, 9):
        for angle in range(0, 360, 15):
            across, down = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            left = mark.x + across * (mark.radius + _GAP + reach) - width * (1 - across) / 2
            top = middle + down * (mark.radius + LABEL_HEIGHT / 2 + reach)
            box = Box(left=left, top=top, right=left + width, bottom=top + LABEL_HEIGHT)
            if within.contains(box):
                yield box
    yield Box(left=within.left, top=within.top, right=within.left + width, bottom=within.top + LABEL_HEIGHT)


def _cost(label: Label, placed: Iterable[Label], *, taken: Sequence[Box], within: Box) -> float:
    """Return what is covered, as an area; a crossed line counts as ``_CROSSING``, leaving the plot as more."""
    cost = 0.0 if within.contains(label.box) else 1e6
    cost += sum(label.box.overlap(box) for box in taken)
    for other in placed:
        cost += label.box.overlap(other.box)
        cost += _CROSSING * (_crosses(label.leader, other.box) + _crosses(other.leader, label.box))
    return cost


def _crosses(line: tuple[float, float, float, float] | None, box: Box) -> bool:
    """Return whether one of 20 points along the line lies in the box."""
    if line is None:
        return False
    x1, y1, x2, y2 = line
    points = ((x1 + (x2 - x1) * step / 20, y1 + (y2 - y1) * step / 20) for step in range(21))
    return any(box.left <= x <= box.right and box.top <= y <= box.bottom for x, y in points)


def _distance(mark: Mark, box: Box) -> float:
    x, y = _nearest(mark, box)
    return math.hypot(mark.x - x, mark.y - y)


def _nearest(mark: Mark, box: Box) -> tuple[float, float]:
    return min(max(mark.x, box.left), box.right), min(max(mark.y, box.top), box.bottom)


def _label(mark: Mark, box: Box) -> Label:
    x, y = _nearest(mark, box)
    far = math.hypot(mark.x - x, mark.y - y)
    leader = None
    if far > mark.radius + 2 * _GAP:
        share = mark.radius / far
        leader = (mark.x + (x - mark.x) * share, mark.y + (y - mark.y) * share, x, y)
    return Label(text=mark.text, x=box.left + 2, y=box.bottom - 4, box=box, leader=leader)
