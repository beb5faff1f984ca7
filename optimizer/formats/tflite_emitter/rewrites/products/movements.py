"""Products by a constant matrix go before what only moves their input's other axes; movements then meet and cancel.

Also here: which element of one value lies where in another that was only moved, cut and reshaped from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, Operation
from optimizer.formats.tflite_emitter.layout import keeps_order, plain
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.linear import is_linear, linear_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph

RESHAPES: Final = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
MOVES: Final = frozenset({*RESHAPES, "Transpose", "Split", "Slice", "Gather"})
_BATCH: Final = 2
_ROUNDS: Final = 100
"""How often the graph is gone through at most; a product meets one movement each time."""


def sink_movements(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such movements after the products, two in a row as one, and none that does nothing."""
    editing = Editing(graph)
    for _ in range(_ROUNDS):
        if not (_each(editing, _sunk) or _each(editing, _merged) or _each(editing, _lifted)):
            break
    return editing.finish()


def _each(editing: Editing, change: Callable[[Editing, Operation], bool]) -> bool:
    """Try the change on each operation that is still there; say whether it was made at all."""
    made = [
        operation
        for operation in editing.operations
        if editing.producer(operation.output) is operation and change(editing, operation)
    ]
    return bool(made)


def _sunk(editing: Editing, operation: Operation) -> bool:
    """Move what comes before a product to after it, where it leaves the last axis alone; say whether that was done."""
    moved = editing.producer_of(operation.input(0), "Transpose", *RESHAPES)
    linear = None if moved is None else linear_of(editing, operation)
    if moved is None or linear is None:
        return False
    before, after, result = editing.fact(moved.input(0)), editing.fact(moved.output), editing.fact(operation.output)
    if before is None or after is None or result is None or not _keeps_last(moved, before, after):
        return False
    if moved.op != "Transpose" and not all(is_linear(editing, each) for each in editing.readers(moved.output)):
        return False
    if editing.is_shown(moved.output) or len(before.shape) < 2:
        return False
    inner = f"{operation.output}/product"
    editing.put_fact(inner, dataclasses.replace(before, shape=(*before.shape[:-1], result.shape[-1])))
    first = dataclasses.replace(linear, value=moved.input(0)).written(
        editing, inner, name=operation.name, activation=operation.activation
    )
    second = _movement_to(editing, moved, inner, operation.output)
    editing.replace([operation], [first, second])
    return True


def _lifted(editing: Editing, operation: Operation) -> bool:
    """Move a reshape after a product to before it, where it meets another one; say whether that was done."""
    before, after = editing.producer_of(operation.input(0), *RESHAPES), editing.sole_reader(operation.output)
    if before is None or after is None or after.op not in RESHAPES:
        return False
    linear = linear_of(editing, operation)
    if linear is None:
        return False
    source, middle, result = (editing.fact(name) for name in (linear.value, operation.output, after.output))
    if source is None or middle is None or result is None or not editing.is_inner(before.output):
        return False
    if not _keeps_last(after, middle, result) or len(result.shape) < 2 or _sinks(editing, before):
        return False
    shaped = f"{after.output}/shaped"
    editing.put_fact(shaped, dataclasses.replace(result, shape=(*result.shape[:-1], source.shape[-1])))
    first = reshape_to(editing, before.input(0), shaped, name=after.name)
    second = dataclasses.replace(linear, value=shaped).written(
        editing, after.output, name=operation.name, activation=operation.activation
    )
    editing.replace([operation, after], [first, second])
    return True


def _movement_to(editing: Editing, moved: Operation, source: str, output: str) -> Operation:
    """Return the movement from another source to another output, as a Transpose or as a Reshape."""
    name = f"{output}/moved"
    if moved.op == "Transpose":
        return dataclasses.replace(moved, name=name, inputs=(source,), outputs=(output,))
    return reshape_to(editing, source, output, name=name)


def reshape_to(editing: Editing, source: str, output: str, *, name: str) -> Operation:
    """Return the Reshape that gives the output its known shape."""
    fact = editing.fact(output)
    shape = () if fact is None else fact.shape
    batch = None if fact is None else fact.batch
    sizes = np.asarray([-1 if axis == batch else size for axis, size in enumerate(shape)], dtype=np.int64)
    return Operation(
        op="Reshape", name=name, inputs=(source, editing.put_constant(f"{output}/sizes", sizes)), outputs=(output,)
    )


def _sinks(editing: Editing, moved: Operation) -> bool:
    before, after = editing.fact(moved.input(0)), editing.fact(moved.output)
    return before is None or after is None or _keeps_last(moved, before, after)


def _keeps_last(moved: Operation, before: Fact, after: Fact) -> bool:
    if not before.shape or not after.shape or before.shape[-1] != after.shape[-1]:
        return False
    last = len(before.shape) - 1
    if before.batch == last or after.batch == len(after.shape) - 1:
        return False
    return moved.op != "Transpose" or moved.integers("perm", ())[-1:] == (last,)


def _merged(editing: Editing, operation: Operation) -> bool:
    """Make one of two movements in a row, and none of one that changes nothing; say whether that was done."""
    if _is_reshape(editing, operation):
        return _as_reshape(editing, operation, operation.input(0))
    if operation.op in RESHAPES:
        return _merged_reshape(editing, operation)
    inner = editing.producer_of(operation.input(0), "Transpose")
    if operation.op != "Transpose" or inner is None or not inner.integers("perm", ()):
        return False
    order = tuple(inner.integers("perm", ())[axis] for axis in operation.integers("perm", ()))
    if order == tuple(range(len(order))):
        return _dropped(editing, operation, inner.input(0))
    joined = dataclasses.replace(operation, inputs=inner.inputs, attributes={**operation.attributes, "perm": order})
    editing.replace([operation], [joined])
    return bool(order)


def _merged_reshape(editing: Editing, operation: Operation) -> bool:
    source, result = editing.fact(operation.input(0)), editing.fact(operation.output)
    if source is None or result is None:
        return False
    if source.shape == result.shape and source.batch == result.batch:
        return _dropped(editing, operation, operation.input(0))
    inner = editing.producer_of(operation.input(0), *RESHAPES)
    return inner is not None and _as_reshape(editing, operation, inner.input(0))


def _is_reshape(editing: Editing, operation: Operation) -> bool:
    """Return whether a Transpose beside a reshape moves axes of size 1 alone."""
    fact, order = editing.fact(operation.input(0)), operation.integers("perm", ())
    if operation.op != "Transpose" or fact is None or not order:
        return False
    after = editing.sole_reader(operation.output)
    beside = editing.producer_of(operation.input(0), *RESHAPES) or (after is not None and after.op in RESHAPES)
    return bool(beside) and keeps_order(fact.shape, plain(len(order)), order, batch=fact.batch)


def _as_reshape(editing: Editing, operation: Operation, source: str) -> bool:
    joined = reshape_to(editing, source, operation.output, name=operation.name)
    editing.replace([operation], [joined])
    return True


def _dropped(editing: Editing, operation: Operation, source: str) -> bool:
    """Let the readers of a movement that does nothing read its source; not where it is an output of the graph."""
    if editing.is_shown(operation.output):
        return False
    for reader in dict.fromkeys(each.output for each in editing.readers(operation.output)):
        made = editing.producer(reader)
        if made is not None:
            inputs = tuple(source if name == operation.output else name for name in made.inputs)
            editing.replace([made], [dataclasses.replace(made, inputs=inputs)])
    editing.replace([operation], [])
    return True


def shape_of(fact: Fact) -> tuple[int, ...]:
    """Return the shape with a batch of 2, where the batch is free: so its axis shows."""
    return tuple(size * (_BATCH if axis == fact.batch else 1) for axis, size in enumerate(fact.shape))


def moved_elements(
    editing: Editing, operations: tuple[Operation, ...], elements: NDArray[Any], end: str
) -> NDArray[Any] | None:
    """Return what the movements, in order, make of numbered elements; None where one can't be followed."""
    for place, operation in enumerate(operations):
        output = operations[place + 1].input(0) if place + 1 < len(operations) else end
        moved = _moved(editing, operation, elements, output)
        if moved is None:
            return None
        elements = moved
    return elements


def _moved(editing: Editing, operation: Operation, elements: NDArray[Any], output: str) -> NDArray[Any] | None:
    fact = editing.fact(output)
    if fact is None:
        return None
    if operation.op in RESHAPES:
        shape = shape_of(fact)
        return elements.reshape(shape) if int(np.prod(shape)) == elements.size else None
    if operation.op == "Transpose":
        return elements.transpose(operation.integers("perm", tuple(reversed(range(elements.ndim)))))
    if operation.op == "Split":
        axis = operation.integer("axis", 0) % elements.ndim
        facts = [editing.fact(name) for name in operation.outputs]
        sizes = [0 if each is None else shape_of(each)[axis] for each in facts]
        start = sum(sizes[: operation.outputs.index(output)])
        return np.take(elements, np.arange(start, start + shape_of(fact)[axis]), axis=axis)
    if operation.op == "Gather":
        places = editing.constant(operation.input(1))
        return None if places is None else np.take(elements, places, axis=operation.integer("axis", 0))
    return _sliced(editing, operation, elements)


def _sliced(editing: Editing, operation: Operation, elements: NDArray[Any]) -> NDArray[Any] | None:
    given = [editing.constant(name) if name else None for name in operation.inputs[1:]]
    if any(name and array is None for name, array in zip(operation.inputs[1:], given, strict=True)) or len(given) < 2:
        return None
    starts, ends = given[0], given[1]
    if starts is None or ends is None:
        return None
    axes = given[2] if len(given) > 2 and given[2] is not None else np.arange(len(starts))
    steps = given[3] if len(given) > 3 and given[3] is not None else np.ones(len(starts), dtype=np.int64)
    cut = [slice(None)] * elements.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop = None if step < 0 and end < -elements.shape[int(axis)] else int(end)
        cut[int(axis)] = slice(int(start), stop, int(step))
    return elements[tuple(cut)]
