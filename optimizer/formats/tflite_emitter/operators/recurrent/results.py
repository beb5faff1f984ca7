"""What a recurrent operation gives: Y, Y_h and Y_c, each made from what a form of it has, if somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from optimizer.formats.tflite_emitter.layout import plain
from optimizer.formats.tflite_emitter.rewrites.recurrences import STATES

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.lowering import Lowering
    from optimizer.formats.tflite_emitter.operators.recurrent.recurrence import Recurrence


class Form(Protocol):
    """A recurrence written in some form; a part is written when it is asked for first."""

    def sequence(self) -> int:
        """Return all steps of all directions, side by side: (N, T, D x H), or time first."""
        ...

    def last(self, direction: int) -> int:
        """Return what a direction ends with, (N, H)."""
        ...

    def cell(self, direction: int) -> int:
        """Return the cell state that a direction ends with, (N, H)."""
        ...


def define_results(recurrence: Recurrence, lowering: Lowering, form: Form) -> None:
    """Record the outputs that are asked for."""
    if recurrence.wants(0):
        _define_sequence(recurrence, lowering, form.sequence())
    if recurrence.wants(1):
        _define_ends(recurrence, lowering, form.last, place=1)
    if recurrence.wants(2):
        _define_ends(recurrence, lowering, form.cell, place=2)
    for direction in range(len(recurrence.directions)):
        _define_end(recurrence, lowering, form.last, direction, place=STATES)
        _define_end(recurrence, lowering, form.cell, direction, place=STATES + len(recurrence.directions))


def _define_sequence(recurrence: Recurrence, lowering: Lowering, tensor: int) -> None:
    """Record Y, whose axis of directions is split off the steps."""
    shape = recurrence.stored(len(recurrence.directions), recurrence.hidden)
    lowering.writer.batches[tensor] = recurrence.batch_place
    split = lowering.reshape_tensor(tensor, shape, recurrence.operation.outputs[0], batch=recurrence.batch_place)
    axes = (0, 2, 1, 3) if recurrence.time_major else (2, 0, 1, 3)
    lowering.define(recurrence.operation, split, axes=axes)


def _define_ends(recurrence: Recurrence, lowering: Lowering, end: Callable[[int], int], *, place: int) -> None:
    """Record Y_h or Y_c: one end of the sequence for each direction."""
    ends = [end(direction) for direction in range(len(recurrence.directions))]
    name = recurrence.operation.outputs[place]
    shape = (len(ends), recurrence.rows, recurrence.hidden)
    batch = 1 if recurrence.free else None
    tensor = _packed(lowering, ends, name, shape) if len(ends) > 1 else None
    if tensor is None:
        tensor = lowering.reshape_tensor(ends[0], shape, name, batch=batch)
    lowering.define(recurrence.operation, tensor, axes=plain(3), place=place)


def _define_end(
    recurrence: Recurrence, lowering: Lowering, end: Callable[[int], int], direction: int, *, place: int
) -> None:
    """Record what one direction ends with, (N, H)."""
    if recurrence.wants(place + direction):
        lowering.define(recurrence.operation, end(direction), axes=plain(2), place=place + direction)


def _packed(lowering: Lowering, ends: Sequence[int], name: str, shape: tuple[int, ...]) -> int:
    options = lowering.schema.PackOptionsT()
    options.valuesCount, options.axis = len(ends), 0
    return lowering.step("PACK", ends, name, shape=shape, options=options)
