"""A stretch of a file that holds a tensor's elements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contracts.delta.elements import Kind

SPANS_LIMIT: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Elements that lie side by side from byte ``start`` on.

    ``axis`` is that of the output channels; with ``channels_last`` the inputs' is the last one. ``scale`` names the
    span of the tensor's scales, if the file says so.
    """

    name: str
    kind: Kind
    dims: tuple[int, ...]
    start: int
    axis: int = 0
    channels_last: bool = False
    scale: str = ""

    @property
    def count(self) -> int:
        """How many elements."""
        count = 1
        for size in self.dims:
            count *= size
        return count

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.count * self.kind.width

    @property
    def end(self) -> int:
        """Where the byte after the last one lies."""
        return self.start + self.length


def tidy(spans: Iterable[Span], length: int) -> tuple[Span, ...]:
    """Return the spans that hold something and lie in the file, sorted; of two over each other the first."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, span.length)):
        inside = span.start >= 0 and span.count > 0 and span.end <= length and all(size > 0 for size in span.dims)
        if inside and (not kept or span.start >= kept[-1].end):
            kept.append(span)
    return tuple(kept[:SPANS_LIMIT])


def moved(spans: Sequence[Span], start: int) -> list[Span]:
    """Return the spans of a file that lies at ``start`` in another."""
    return [replace(one, start=one.start + start) for one in spans]
