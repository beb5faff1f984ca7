"""What is repeated only to be broadcast is not repeated; a row joined to each sample is padded and added.

A class token is the same row for each sample: joined to the tokens of a batch of any size it would need that size.
Zeros in its place, and a constant added over all tokens, need none; a position embedding that is added anyway takes it
up.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing, renamed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_BROADCASTING: Final = frozenset(
    {"Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mul", "Or"}
    | {"Pow", "Sub", "Where", "Xor"}
)
_ADDED: Final = frozenset({"float32", "int32", "int64"})


def drop_repeats(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph without Expand where its readers broadcast anyway."""
    edit = Editing(graph)
    for operation in graph.operations:
        if operation.op == "Expand" and not edit.is_shown(operation.output):
            readers = {reader.output: reader for reader in edit.readers(operation.output)}
            changed = [renamed(reader, {operation.output: operation.input(0)}) for reader in readers.values()]
            if changed and all(_broadcasts(edit, reader) for reader in changed):
                edit.replace(readers.values(), changed)
    return edit.finish()


def add_rows(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with Pad and Add in the place of a Concat of constants that the batch repeats."""
    edit = Editing(graph)
    for operation in graph.operations:
        parts = _with_rows(edit, operation)
        if parts:
            edit.replace((operation,), parts)
    return _sums_joined(edit.finish())


def _broadcasts(edit: Editing, reader: Operation) -> bool:
    """Return whether the operation, as it is, gives the shape and the batch that are known of its result."""
    result = edit.fact(reader.output)
    facts = [edit.fact(name) for name in reader.inputs]
    if reader.op not in _BROADCASTING or result is None or None in facts:
        return False
    known = [fact for fact in facts if fact is not None]
    rank = len(result.shape)
    batches = {fact.batch + rank - len(fact.shape) for fact in known if fact.batch is not None}
    has_batch = result.batch is None or result.batch in batches
    return has_batch and np.broadcast_shapes(*(fact.shape for fact in known)) == result.shape


def _with_rows(edit: Editing, operation: Operation) -> tuple[Operation, ...]:
    """Return what takes the Concat's place; nothing where it joins no repeated row to one computed value."""
    result = edit.fact(operation.output)
    if operation.op != "Concat" or result is None or result.batch is None or result.element.name not in _ADDED:
        return ()
    arrays = [edit.constant(name) for name in operation.inputs]
    computed = [place for place, array in enumerate(arrays) if array is None]
    repeated = [
        name for name, array in zip(operation.inputs, arrays, strict=True) if array is not None and _repeats(edit, name)
    ]
    axis = operation.integer("axis", 0) % len(result.shape)
    if len(computed) != 1 or not repeated or axis == result.batch:
        return ()
    (place,) = computed
    before, after = (_rows(part, axis) for part in (arrays[:place], arrays[place + 1 :]))
    pads = np.zeros((2, len(result.shape)), dtype=np.int64)
    pads[:, axis] = before, after
    inner = edit.fact(operation.inputs[place])
    if inner is None:
        return ()
    middle = np.zeros(inner.shape, dtype=result.element)
    rows = np.concatenate([middle if array is None else array for array in _alike(arrays, result, axis)], axis=axis)
    padded = edit.put_fact(f"{operation.output}/padded", result)
    amounts = edit.put_constant(f"{operation.output}/pads", pads.reshape(-1))
    added = edit.put_constant(f"{operation.output}/rows", rows)
    return (
        Operation(op="Pad", name=f"{operation.name}/pad", inputs=(operation.inputs[place], amounts), outputs=(padded,)),
        Operation(op="Add", name=operation.name, inputs=(padded, added), outputs=operation.outputs),
    )


def _repeats(edit: Editing, name: str) -> bool:
    fact = edit.fact(name)
    return fact is not None and fact.batch is not None


def _rows(arrays: list[NDArray[Any] | None], axis: int) -> int:
    return sum(array.shape[axis] for array in arrays if array is not None)


def _alike(arrays: list[NDArray[Any] | None], result: Fact, axis: int) -> list[NDArray[Any] | None]:
    """Return the constants with one row of the batch and the result's other sizes."""
    shapes = [
        tuple(size if place != axis else array.shape[axis] for place, size in enumerate(result.shape))
        for array in arrays
        if array is not None
    ]
    found = iter(shapes)
    return [array if array is None else np.broadcast_to(array, next(found)).astype(result.element) for array in arrays]


def _sums_joined(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with one Add in the place of two that add constants one after the other."""
    edit = Editing(graph)
    for operation in graph.operations:
        first = next((made for name in operation.inputs if (made := edit.producer_of(name, "Add"))), None)
        if operation.op != "Add" or first is None or not edit.is_inner(first.output):
            continue
        (one, base), (other, _) = _constant_side(edit, first), _constant_side(edit, operation)
        fact = edit.fact(first.output)
        if (
            one is None
            or other is None
            or fact is None
            or fact.element != np.float32
            or fact != edit.fact(operation.output)
        ):
            continue
        total = edit.put_constant(f"{operation.output}/rows", one.astype(np.float64) + other)
        edit.replace((first, operation), (dataclasses.replace(operation, inputs=(base, total)),))
    return edit.finish()


def _constant_side(edit: Editing, operation: Operation) -> tuple[NDArray[Any] | None, str]:
    """Return the constant that an Add adds and what it is added to; None where it adds none."""
    for name, other in (operation.inputs, operation.inputs[::-1]):
        array = edit.constant(name)
        if array is not None:
            return array, other
    return None, ""
