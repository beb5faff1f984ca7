"""Which contiguous part of a network to compute in int8: proposals from the profiles of its float and int8 twin.

Whole int8 loses where a runtime's integer kernels are slower than its float ones (small depthwise convolutions on x86),
and each change between float and integer costs a conversion. So the parts are proposed by adding up, and chosen by
measuring. Pure arithmetic: no clock, no file, no framework.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """One layer, by the tensor it gives, with all operations up to the next one: microseconds in float and in int8."""

    layer: str
    float_us: float
    int8_us: float

    @property
    def gain_us(self) -> float:
        """What int8 saves; below 0 where it loses."""
        return self.float_us - self.int8_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The layers from ``first`` to ``last``, places in the file's order, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        """Return how many layers it has."""
        return self.last - self.first + 1


def propose(times: Sequence[LayerTime], *, border_us: float, wanted: int, least_us: float) -> tuple[Segment, ...]:
    """Return up to ``wanted`` segments, the one with the largest expected saving first; never the whole network.

    Segments that differ by one layer at one end only count as the same idea: the first of them stands for it,
    ``neighbours`` of what measures best come later.

    Args:
        times: the layers in the file's order.
        border_us: what a change between float and int8 costs inside the network.
        wanted: how many at most.
        least_us: what a segment must be expected to save to be worth a try; below 0 where profiles are not to be
            trusted that far.
    """
    scored = sorted(_scored(times, border_us), key=lambda item: (-item[0], len(item[1]), item[1].first))
    chosen: list[Segment] = []
    for saving, segment in scored:
        if len(chosen) == wanted or saving < least_us:
            break
        if all(_apart(segment, other) > 1 for other in chosen):
            chosen.append(segment)
    return tuple(chosen)


def neighbours(segment: Segment, *, layers: int, reach: int = 2) -> tuple[Segment, ...]:
    """Return the segments that differ by up to ``reach`` layers at one end, or by one at both; nearest first."""
    found = {
        Segment(first=segment.first + left, last=segment.last + right)
        for left in range(-reach, reach + 1)
        for right in range(-reach, reach + 1)
        if (left == 0) != (right == 0) or (abs(left) == 1 and abs(right) == 1)
        if 0 <= segment.first + left <= segment.last + right < layers
    }
    whole = Segment(first=0, last=layers - 1)
    return tuple(sorted(found - {whole, segment}, key=lambda other: (_apart(segment, other), other.first, other.last)))


def _scored(times: Sequence[LayerTime], border_us: float) -> Iterator[tuple[float, Segment]]:
    count = len(times)
    for first in range(count):
        saving = 0.0
        for last in range(first, count):
            saving += times[last].gain_us
            borders = (first > 0) + (last < count - 1)
            if borders:
                yield saving - border_us * borders, Segment(first=first, last=last)


def _apart(one: Segment, other: Segment) -> int:
    """Return by how many layers the two differ, both ends added."""
    return abs(one.first - other.first) + abs(one.last - other.last)
