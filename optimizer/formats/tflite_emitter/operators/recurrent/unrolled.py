"""A recurrence step by step: the input's products for all steps at once, then each step's own operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.operators.recurrent.cells import CELLS, Cell, Projection, State

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.lowering import Lowering
    from optimizer.formats.tflite_emitter.operators.recurrent.recurrence import Direction, Recurrence

_KEEPS_RANK_VERSION = 5


class UnrolledForm:
    """A recurrence whose steps are operators of their own."""

    def __init__(self, recurrence: Recurrence, lowering: Lowering) -> None:
        """Write every step of every direction."""
        self._recurrence = recurrence
        self._lowering = lowering
        begins = _initial_states(recurrence, lowering)
        self._states = [self._unrolled(one, begin) for one, begin in zip(recurrence.directions, begins, strict=True)]

    def sequence(self) -> int:
        """Return all steps of all directions, side by side: (N, T, D x H), or time first."""
        recurrence, lowering = self._recurrence, self._lowering
        sides = [self._packed(states) for states in self._states]
        if len(sides) == 1:
            return sides[0]
        options = lowering.schema.ConcatenationOptionsT()
        options.axis = 2
        shape = recurrence.stored(recurrence.width)
        return lowering.step("CONCATENATION", sides, "sequence", shape=shape, options=options)

    def last(self, direction: int) -> int:
        """Return what a direction ends with, (N, H)."""
        return _made(self._end(direction).h)

    def cell(self, direction: int) -> int:
        """Return the cell state that a direction ends with, (N, H)."""
        return _made(self._end(direction).c)

    def _end(self, direction: int) -> State:
        """Return the state after a direction's last step: the steps are kept in the order of time."""
        return self._states[direction][0 if self._recurrence.directions[direction].reverse else -1]

    def _unrolled(self, direction: Direction, state: State) -> list[State]:
        """Write the steps of a direction; return the state after each, in the order of time."""
        recurrence, lowering = self._recurrence, self._lowering
        cell: Cell = CELLS[recurrence.operation.op](recurrence, lowering, direction)
        projected = [self._projected(one) for one in cell.projections()]
        places = range(recurrence.steps)
        states = {}
        for place in reversed(places) if direction.reverse else places:
            state = cell.step([steps[place] for steps in projected], state)
            states[place] = state
        return [states[place] for place in places]

    def _projected(self, projection: Projection) -> Sequence[int]:
        """Return the product of each step of the input, (N, rows)."""
        recurrence, lowering = self._recurrence, self._lowering
        rows = len(projection.weights)
        options = lowering.schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        weights, bias = (
            lowering.writer.add_constant(name, array)
            for name, array in (("weights", projection.weights), ("bias", projection.bias))
        )
        whole = lowering.step(
            "FULLY_CONNECTED",
            (recurrence.source.tensor, weights, bias),
            "projected",
            shape=recurrence.stored(rows),
            options=options,
            version=_KEEPS_RANK_VERSION,
        )
        cut = lowering.schema.UnpackOptionsT()
        cut.num, cut.axis = recurrence.steps, recurrence.time_place
        shapes = [(recurrence.rows, rows)] * recurrence.steps
        return lowering.steps("UNPACK", (whole,), ["step"] * recurrence.steps, shapes=shapes, options=cut)

    def _packed(self, states: Sequence[State]) -> int:
        recurrence, lowering = self._recurrence, self._lowering
        options = lowering.schema.PackOptionsT()
        options.valuesCount, options.axis = len(states), recurrence.time_place
        inputs = [_made(state.h) for state in states]
        return lowering.step("PACK", inputs, "side", shape=recurrence.stored(recurrence.hidden), options=options)


def _made(tensor: int | None) -> int:
    """Return the tensor of a state after a step, which there always is."""
    if tensor is None:
        raise LookupError("a step gives a state")
    return tensor


def _initial_states(recurrence: Recurrence, lowering: Lowering) -> list[State]:
    """Return what each direction begins with."""
    kinds = [_initial(recurrence, lowering, name, place) for place, name in enumerate(recurrence.initial)]
    kinds += [[None] * len(recurrence.directions)] * (2 - len(kinds))
    return [State(h=h, c=c) for h, c in zip(*kinds, strict=True)]


def _initial(recurrence: Recurrence, lowering: Lowering, name: str, kind: int) -> list[int | None]:
    """Return (N, H), or one row for all, for each direction; None where it is zero."""
    count, shape = len(recurrence.directions), (recurrence.rows, recurrence.hidden)
    if not name:
        return [None] * count
    if lowering.is_constant(name):
        array = lowering.constant(recurrence.operation, 5 + kind).astype(np.float32)
        return [lowering.writer.add_constant("begin", np.ascontiguousarray(rows)) for rows in array]
    value = lowering.as_plain(lowering.value(name))
    if count == 1:
        batch = 0 if recurrence.free else None
        return [lowering.reshape_tensor(value.tensor, shape, "begin", batch=batch)]
    options = lowering.schema.UnpackOptionsT()
    options.num, options.axis = count, 0
    return list(lowering.steps("UNPACK", (value.tensor,), ["begin"] * count, shapes=[shape] * count, options=options))
