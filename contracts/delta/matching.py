"""Which tensor of the base stands for which of the target, and how each is best coded: what a sender decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from contracts.delta.coding import old_values
from contracts.delta.elements import Kind, values_of
from contracts.delta.expecting import Part, Pick, Shape, scale_ratios
from contracts.delta.hinting import fitted, fresh_bits, tilt_shift
from contracts.delta.lanes import Ints
from contracts.delta.picking import Pair, Picker
from contracts.delta.plan import ELEMENTS_LIMIT, NONE, Entry
from contracts.delta.spans import Span

_LEAST_BYTES: Final = {Kind.INT8: 16, Kind.UINT8: 16, Kind.INT32: 8, Kind.FP32: 4, Kind.FP16: 16}
_LEAST_FRESH: Final = 256
_FACTORS_LIMIT: Final = 400
_TAPS_LIMIT: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A span of the target and its counterpart in the base, if there is one."""

    target: Span
    base: Span | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The plan's entries in the order of the target, and the tilts of those that have some."""

    entries: tuple[Entry, ...]
    tilts: Mapping[int, Ints]
    parts: Mapping[int, tuple[Part, ...]]


def matches(base: Sequence[Span], target: Sequence[Span]) -> list[Match]:
    """Return for each span of the target the base's of the same name, else the next of the same type and shape.

    Where there is none, it is a larger one of the same name, from which channels may have been cut.
    """
    larger = {one.name: one for one in base}
    named = {(one.name, one.kind, one.dims): one for one in base}
    taken = {(one.name, one.kind, one.dims) for one in target}
    spare: dict[tuple[Kind, tuple[int, ...]], list[Span]] = defaultdict(list)
    for one in reversed(base):
        if (one.name, one.kind, one.dims) not in taken:
            spare[one.kind, one.dims].append(one)
    result = []
    for span in target:
        found = named.get((span.name, span.kind, span.dims))
        if found is None and spare[span.kind, span.dims]:
            found = spare[span.kind, span.dims].pop()
        if found is None and span.name in larger and _cut_from(larger[span.name], span):
            found = larger[span.name]
        result.append(Match(target=span, base=found))
    return result


def planned(found: Sequence[Match], base: bytes, target: bytes) -> Matched:
    """Return the entries for what changed and is worth an entry of its own."""
    sender = _Sender(found, base, target)
    return sender.matched()


def _cut_from(old: Span, new: Span) -> bool:
    """Whether the new one can be the old one with fewer channels."""
    if old.kind is not new.kind or len(old.dims) != len(new.dims) or max(old.count, new.count) > ELEMENTS_LIMIT:
        return False
    before, after = _shape(old), _shape(new)
    alike = (before.taps, before.order, before.line) == (after.taps, after.order, after.line)
    return alike and before.outputs >= after.outputs and before.inputs >= after.inputs


class _Sender:
    def __init__(self, found: Sequence[Match], base: bytes, target: bytes) -> None:
        self._base = base
        self._target = target
        self._changed = [one for one in found if self._worth(one)]
        self._floats = {
            one.target.name: one for one in self._changed if one.target.kind is Kind.FP32 and one.base is not None
        }
        self._tilts: list[Ints | None] = []
        self._parts_of: list[tuple[Part, ...]] = []
        self._picks = self._picked()

    def matched(self) -> Matched:
        """Return the plan."""
        factors = self._factors()
        entries: list[Entry] = []
        scales: list[str] = []
        names: dict[str, int] = {}
        wholes: dict[str, int] = {}
        for match in self._changed:
            names[match.target.name] = len(entries)
            parts = list(self._parts(match, product=match.target.name in factors))
            if len(parts) == 1:
                wholes[match.target.name] = len(entries)
            entries += parts
            scales += [match.target.scale] * len(parts)
        for number, (entry, scale) in enumerate(zip(entries, scales, strict=True)):
            if entry.scale != NONE:
                entries[number] = replace(entry, scale=wholes[scale])
        for name, pair in factors.items():
            first, second = pair
            entries[names[name]] = replace(entries[names[name]], factors=(wholes[first], wholes[second]))
        tilts = {number: tilts for number, tilts in enumerate(self._tilts) if tilts is not None}
        products = dict(enumerate(self._parts_of))
        return Matched(entries=tuple(entries), tilts=tilts, parts=products)

    def _worth(self, match: Match) -> bool:
        span = match.target
        if match.base is None:
            return span.count >= _LEAST_FRESH and span.kind is not Kind.INT32
        before = self._base[match.base.start : match.base.end]
        return span.length >= _LEAST_BYTES[span.kind] and before != self._target[span.start : span.end]

    def _picked(self) -> dict[str, Pair]:
        """Return which channels each tensor kept that is smaller than the base's; weights first, then their scales."""
        picker = Picker(self._base, self._target)
        cut = [one for one in self._changed if one.base is not None and one.base.dims != one.target.dims]
        told: dict[str, Pick | None] = {}
        found: dict[str, Pair] = {}
        for match in sorted(cut, key=_both_cut):
            old, new = match.base, match.target
            pair = None if old is None else picker.pick(old, new, (_shape(old), _shape(new)), told=told.get(new.name))
            if pair is not None:
                found[new.name] = pair
                if new.scale:
                    told[new.scale] = pair[0]
        lost = {one.target.name for one in cut} - found.keys()
        self._changed = [replace(one, base=None) if one.target.name in lost else one for one in self._changed]
        self._changed = [one for one in self._changed if self._worth(one)]
        for name in lost & self._floats.keys():
            del self._floats[name]
        return found

    def _factors(self) -> dict[str, tuple[str, str]]:
        """Return which changed vectors are products of a vector and a number: scales of biases are."""
        values = {
            name: np.frombuffer(self._target, "<f4", count=one.target.count, offset=one.target.start)
            for name, one in list(self._floats.items())[:_FACTORS_LIMIT]
            if one.target.count <= ELEMENTS_LIMIT
        }
        single = {name: array[0] for name, array in values.items() if array.size == 1}
        names, numbers = list(single), np.array(list(single.values()), np.float32)
        found: dict[str, tuple[str, str]] = {}
        used: set[str] = set()
        for name, wanted in values.items():
            for other, given in values.items():
                if other == name or given.size != wanted.size or wanted.size < 2 or other in found or name in used:
                    continue
                with np.errstate(all="ignore"):
                    likely = np.flatnonzero(given[0] * numbers == wanted[0])
                    exact = [one for one in likely if (given * numbers[one] == wanted).all()]
                if exact:
                    found[name] = (other, names[exact[0]])
                    used |= {other, names[exact[0]]}
                    break
        return found

    def _parts(self, match: Match, *, product: bool) -> Iterator[Entry]:
        """Yield the entries of one span, none larger than an entry may be."""
        span = match.target
        for shape, first in _cut(_shape(span)):
            start = span.start + first * span.kind.width
            base = NONE if match.base is None else match.base.start + first * span.kind.width
            outputs, inputs = self._picks.get(span.name, (None, None))
            entry = Entry(kind=span.kind, shape=shape, start=start, base=base, outputs_of=outputs, inputs_of=inputs)
            row = first // (shape.inputs * shape.taps) if shape.order < 2 else 0
            yield self._plain(entry) if product else self._best(entry, match, row)

    def _plain(self, entry: Entry) -> Entry:
        self._tilts.append(None)
        self._parts_of.append(())
        return entry

    def _best(self, entry: Entry, match: Match, row: int) -> Entry:
        new = values_of(self._target[entry.start : entry.start + entry.length], entry.kind)
        bits, centre = fresh_bits(new, entry.kind)
        if entry.base == NONE:
            return self._plain(replace(entry, centre=centre))
        old = old_values(self._base, entry)
        ratios = self._ratios(match, entry.shape.outputs, row)
        hints, cost = fitted(old, new, shape=entry.shape, kind=entry.kind, ratios=ratios)
        if bits < cost and entry.shape.count >= _LEAST_FRESH and entry.kind is not Kind.INT32:
            return self._plain(replace(entry, base=NONE, centre=centre, outputs_of=None, inputs_of=None))
        self._tilts.append(hints.tilts)
        self._parts_of.append(hints.parts)
        return replace(
            entry,
            scale=NONE if hints.ratios is None else 0,
            row=0 if hints.ratios is None else row,
            tilted=hints.tilts is not None,
            tilt_shift=0 if hints.tilts is None else tilt_shift(hints.tilts),
            part_shifts=tuple(part.shift for part in hints.parts),
            slopes=hints.slopes if any(hints.slopes) else (),
        )

    def _ratios(self, match: Match, count: int, row: int) -> Ints | None:
        """Return old over new scale of each output channel, where both files state them and they changed."""
        scale = self._floats.get(match.target.scale)
        if scale is None or scale.base is None or match.target.kind is Kind.FP32:
            return None
        size = scale.target.count
        if size > ELEMENTS_LIMIT or (size != 1 and row + count > size):
            return None
        old = values_of(self._base[scale.base.start : scale.base.end], Kind.FP32)
        outputs, _ = self._picks.get(scale.target.name, (None, None))
        old = old if outputs is None else old[list(outputs.kept)]
        new = values_of(self._target[scale.target.start : scale.target.end], Kind.FP32)
        ratios = scale_ratios(old, new)
        return np.repeat(ratios, count) if size == 1 else ratios[row : row + count]


def _both_cut(match: Match) -> tuple[int, bool]:
    """Return what orders cut tensors: first those with one axis cut, then both, vectors last."""
    old, new = _shape(match.base or match.target), _shape(match.target)
    return (2 if new.inputs * new.taps == 1 else 0), old.outputs != new.outputs and old.inputs != new.inputs


def _shape(span: Span) -> Shape:
    """Return output channels, inputs and taps by the usual layouts of the formats."""
    dims = span.dims or (1,)
    rest = span.count // dims[0]
    if len(dims) == 1 or rest == 1 or span.count // (dims[0] * dims[-1]) > _TAPS_LIMIT:
        return Shape(outputs=span.count, inputs=1, taps=1, order=0, line=1)
    if len(dims) == 2:
        inputs, outputs = (dims[0], dims[1]) if span.axis == 1 else (dims[1], dims[0])
        return Shape(outputs=outputs, inputs=inputs, taps=1, order=3 if span.axis == 1 else 0, line=1)
    if span.axis == len(dims) - 1:
        return Shape(outputs=dims[-1], inputs=1, taps=span.count // dims[-1], order=2, line=dims[-2])
    if span.channels_last:
        return Shape(outputs=dims[0], inputs=dims[-1], taps=rest // dims[-1], order=1, line=dims[-2])
    return Shape(outputs=dims[0], inputs=dims[1], taps=rest // dims[1], order=0, line=dims[-1])


def _cut(shape: Shape) -> Iterator[tuple[Shape, int]]:
    """Yield shapes of at most ELEMENTS_LIMIT elements and their first elements."""
    if shape.count <= ELEMENTS_LIMIT:
        yield shape, 0
        return
    row = shape.inputs * shape.taps
    if shape.order < 2 and row <= ELEMENTS_LIMIT:
        rows = ELEMENTS_LIMIT // row
        for first in range(0, shape.outputs, rows):
            yield replace(shape, outputs=min(rows, shape.outputs - first)), first * row
        return
    for first in range(0, shape.count, ELEMENTS_LIMIT):
        outputs = min(ELEMENTS_LIMIT, shape.count - first)
        yield Shape(outputs=outputs, inputs=1, taps=1, order=0, line=1), first
