"""Which channels of the base's tensor are still there: found by likeness, in order, and known again in other layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.delta.elements import values_of
from contracts.delta.expecting import ORDERS, Pick, Shape
from contracts.delta.hinting import reals
from contracts.delta.spans import Span

Reals = NDArray[np.float64]
Pair = tuple["Pick | None", "Pick | None"]
_ROUNDS: Final = 3
_LEAST_LIKENESS: Final = 0.3


class Picker:
    """Finds the channels that are left, layer by layer; what one layer keeps is tried first in the others."""

    def __init__(self, base: bytes, target: bytes) -> None:
        """Know nothing of either file."""
        self._base = base
        self._target = target
        self._known: dict[tuple[int, int], list[Pick]] = {}

    def pick(self, old: Span, new: Span, shapes: tuple[Shape, Shape], *, told: Pick | None) -> Pair | None:
        """Return which outputs and inputs of the old tensor the new one kept; None where they are not alike.

        Args:
            old: the base's tensor.
            new: the target's, not the larger one.
            shapes: of both, with the same taps and order.
            told: which outputs, where that is known already.
        """
        before, after = (
            _channels(reals(values_of(data[span.start : span.end], span.kind), span.kind), shape)
            for data, span, shape in ((self._base, old, shapes[0]), (self._target, new, shapes[1]))
        )
        if not np.isfinite(before).all() or not np.isfinite(after).all():
            return None
        offered = [(_likeness(before, after, pair), pair) for pair in self._offered(before, after, told)]
        if not offered:
            return None
        likeness, pair = max(offered, key=lambda one: one[0])
        if likeness < _LEAST_LIKENESS:
            return None
        for one in pair:
            if one is not None and one not in self._list(one.of, len(one.kept)):
                self._list(one.of, len(one.kept)).append(one)
        return pair

    def _list(self, of: int, count: int) -> list[Pick]:
        return self._known.setdefault((of, count), [])

    def _offered(self, before: Reals, after: Reals, told: Pick | None) -> Iterator[Pair]:
        cuts = [before.shape[axis] != after.shape[axis] for axis in (0, 1)]
        outputs, inputs = (self._list(before.shape[axis], after.shape[axis]) if cuts[axis] else [] for axis in (0, 1))
        if told is not None:
            outputs = [told]
        for pick in outputs[:]:
            yield pick, (_aligned(_taken(before, pick, 0), after, 1) if cuts[1] else None)
        if told is None:
            for pick in inputs[:]:
                yield (_aligned(_taken(before, pick, 1), after, 0) if cuts[0] else None), pick
            yield _searched(before, after, cuts)


def _searched(before: Reals, after: Reals, cuts: Sequence[bool]) -> Pair:
    """Return picks found without knowing any: first by how strong channels are, then by turns."""
    if not all(cuts):
        return (_aligned(before, after, 0), None) if cuts[0] else (None, _aligned(before, after, 1))
    strength = [np.sqrt((one * one).mean(axis=0, keepdims=True)) for one in (before, after)]
    inputs = _aligned(strength[0], strength[1], 1)
    outputs = None
    for _ in range(_ROUNDS):
        outputs = _aligned(_taken(before, inputs, 1), after, 0)
        inputs = _aligned(_taken(before, outputs, 0), after, 1)
    return outputs, inputs


def _channels(values: Reals, shape: Shape) -> Reals:
    """Return the values as outputs x inputs x taps."""
    sizes: Mapping[str, int] = {"O": shape.outputs, "I": shape.inputs, "T": shape.taps}
    order = ORDERS[shape.order]
    return values.reshape([sizes[axis] for axis in order]).transpose([order.index(axis) for axis in "OIT"])


def _taken(values: Reals, pick: Pick | None, axis: int) -> Reals:
    return values if pick is None else values.take(pick.kept, axis=axis)


def _likeness(before: Reals, after: Reals, pair: Pair) -> float:
    """Return the cosine of the angle between what was kept and what it became."""
    kept = _taken(_taken(before, pair[0], 0), pair[1], 1)
    size = float(np.sqrt((kept * kept).sum() * (after * after).sum()))
    return float((kept * after).sum()) / size if size else 0.0


def _aligned(before: Reals, after: Reals, axis: int) -> Pick:
    """Return the increasing choice of channels along the axis that is most alike in all."""
    old, new = (np.moveaxis(one, axis, 0).reshape(one.shape[axis], -1) for one in (before, after))
    if old.shape[1] == 1:
        alike = -np.abs(new - old.T)
    else:
        units = [one / np.maximum(np.sqrt((one * one).sum(axis=1, keepdims=True)), 1e-30) for one in (old, new)]
        alike = units[1] @ units[0].T
    of = alike.shape[1]
    best = np.zeros(of + 1)
    rows = []
    for row in alike:
        best = np.concatenate([[-np.inf], np.maximum.accumulate(best[:-1] + row)])
        rows.append(best)
    kept, at = [], of
    for row in reversed(rows):
        at = int(np.argmax(row[: at + 1] >= row[at]))
        kept.append(at - 1)
        at -= 1
    return Pick(of=of, kept=tuple(reversed(kept)))
