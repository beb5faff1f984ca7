"""What follows a recurrent layer in an export, taken into it: the last step, the last state of one direction.

A recurrent operation gets outputs beyond ONNX's three: at ``STATES`` + d what direction d ends with, (N, H), and behind
those the same of an LSTM's cells. Outputs that nobody reads are left out.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Fact

STATES: Final = 3
"""Place of the first direction's last state among the outputs."""
_TIME, _DIRECTIONS, _BATCH, _UNITS = range(4)
"""The axes of Y."""
_RECURRENT: Final = ("GRU", "LSTM", "RNN")
_SHAPERS: Final = ("Reshape", "Squeeze", "Transpose")


def shorten_recurrences(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph in which recurrent layers give what is read of them, and nothing else."""
    if not any(operation.op in _RECURRENT for operation in graph.operations):
        return graph
    editing = Editing(graph)
    for operation in editing.operations:
        if operation.op in ("Reshape", "Squeeze"):
            _from_state(editing, operation)
    for take in (_from_part, _from_states, _from_sequence):
        for operation in editing.operations:
            if operation.op == "Gather" and _index(editing, operation) is not None:
                take(editing, operation)
    shortened = editing.finish()
    read = shortened.uses()
    return shortened.with_operations(
        dataclasses.replace(one, outputs=tuple(name if name in read else "" for name in one.outputs))
        if one.op in _RECURRENT
        else one
        for one in shortened.operations
    )


def _index(editing: Editing, gather: Operation) -> int | None:
    """Return the place that is gathered, counted from the front; None where it is not one constant place."""
    index, fact = editing.constant(gather.input(1)), editing.fact(gather.input(0))
    if index is None or fact is None or index.ndim:
        return None
    size = fact.shape[_axis(gather, fact)]
    return int(index) % size if -size <= int(index) < size else None


def _axis(gather: Operation, fact: Fact) -> int:
    return gather.integer("axis", 0) % len(fact.shape)


def _from_part(editing: Editing, gather: Operation) -> None:
    """Gather from the joined value that holds the place, not from all of them."""
    joined, fact = editing.producer_of(gather.input(0), "Concat"), editing.fact(gather.input(0))
    index = _index(editing, gather)
    if joined is None or fact is None or index is None:
        return
    axis = _axis(gather, fact)
    if joined.integer("axis", 0) % len(fact.shape) != axis:
        return
    for name in joined.inputs:
        part = editing.fact(name)
        if part is None:
            return
        if index < part.shape[axis]:
            place = editing.put_constant(f"{gather.output}/place", np.asarray(index, dtype=np.int64))
            editing.replace([gather], [dataclasses.replace(gather, inputs=(name, place))])
            return
        index -= part.shape[axis]


def _from_states(editing: Editing, gather: Operation) -> None:
    """Take one direction of the last states as an output of its own."""
    layer, fact = editing.producer_of(gather.input(0), *_RECURRENT), editing.fact(gather.input(0))
    direction = _index(editing, gather)
    if layer is None or fact is None or direction is None:
        return
    kind = layer.outputs.index(gather.input(0)) - 1
    if kind in (0, 1) and _axis(gather, fact) == 0:
        _take(editing, layer, gather, place=STATES + kind * fact.shape[0] + direction)


def _from_state(editing: Editing, reshape: Operation) -> None:
    """Take the last state of a layer of one direction without the axis of directions."""
    layer = editing.producer_of(reshape.input(0), *_RECURRENT)
    before, after = editing.fact(reshape.input(0)), editing.fact(reshape.output)
    if layer is None or before is None or after is None:
        return
    kind = layer.outputs.index(reshape.input(0)) - 1
    if kind in (0, 1) and _drops(before, after, 0):
        _take(editing, layer, reshape, place=STATES + kind)


def _from_sequence(editing: Editing, gather: Operation) -> None:
    """Take the last step of the sequence of a layer of one direction for its last state."""
    chain = _chain(editing, gather.input(0))
    layer = editing.producer_of(chain[0].input(0) if chain else gather.input(0), *_RECURRENT)
    if layer is None or layer.text("direction", "forward") == "bidirectional":
        return
    axes = _axes_after(editing, chain, layer)
    fact, index = editing.fact(gather.input(0)), _index(editing, gather)
    if axes is None or fact is None or index is None:
        return
    axis = _axis(gather, fact)
    last = 0 if layer.text("direction", "forward") == "reverse" else fact.shape[axis] - 1
    if axes[axis] == _TIME and index == last and (*axes[:axis], *axes[axis + 1 :]) == (_BATCH, _UNITS):
        _take(editing, layer, gather, place=STATES)


def _chain(editing: Editing, name: str) -> list[Operation]:
    """Return the operations that turn and reshape what leads to the value, the first of them first."""
    chain: list[Operation] = []
    while (made := editing.producer_of(name, *_SHAPERS)) is not None:
        chain.insert(0, made)
        name = made.input(0)
    return chain


def _axes_after(editing: Editing, chain: list[Operation], layer: Operation) -> tuple[int, ...] | None:
    """Return which axes of Y are left, in order, when only its axis of directions went; None for anything else."""
    if (chain[0].input(0) if chain else layer.outputs[0]) != layer.outputs[0]:
        return None
    axes: tuple[int, ...] = (_TIME, _DIRECTIONS, _BATCH, _UNITS)
    for operation in chain:
        before, after = editing.fact(operation.input(0)), editing.fact(operation.output)
        if before is None or after is None:
            return None
        if operation.op == "Transpose":
            axes = tuple(axes[place] for place in operation.integers("perm", tuple(reversed(range(len(axes))))))
        elif _DIRECTIONS in axes and _drops(before, after, axes.index(_DIRECTIONS)):
            axes = tuple(axis for axis in axes if axis != _DIRECTIONS)
        else:
            return None
    return axes if _DIRECTIONS not in axes else None


def _drops(before: Fact, after: Fact, place: int) -> bool:
    """Return whether a reshape takes that axis of size 1 away and does nothing else."""
    left = (*before.shape[:place], *before.shape[place + 1 :])
    batch = None if before.batch is None else before.batch - (before.batch > place)
    return before.shape[place] == 1 and after.shape == left and after.batch == batch


def _take(editing: Editing, layer: Operation, gather: Operation, *, place: int) -> None:
    """Let the layer give the gathered value at that place; where it does already, let the two be one."""
    outputs = (*layer.outputs, *[""] * (place + 1 - len(layer.outputs)))
    if outputs[place]:
        editing.replace(
            [gather], [Operation(op="Reshape", name=gather.name, inputs=(outputs[place],), outputs=gather.outputs)]
        )
        return
    given = (*outputs[:place], gather.output, *outputs[place + 1 :])
    editing.replace([gather], [])
    editing.replace([layer], [dataclasses.replace(layer, outputs=given)])
