"""Layer and RMS normalization spelt out become LayerNormalization and RMSNormalization; so do factor and offset after.

Over another axis than the last ones the normalization is put between two Transposes: lazily, they move nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.products.cones import above, below, computed, mean_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_POINTS: Final = np.asarray(
    [[0.3, -0.11, 0.05, 0.17, -0.2], [-1.0, 2.0, 0.5, 0.25, 3.0], [0.02, 0.01, -0.03, 0.0, 0.04]]
)
_LARGEST_EPSILON: Final = 0.1
_STEPS: Final = 3


def find_layer_norms(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such formulas as one operation each, factor and offset included."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op in ("Sqrt", "Pow"):
            _found(editing, operation)
    for operation in editing.operations:
        if operation.op in ("LayerNormalization", "RMSNormalization"):
            _with_affine(editing, operation)
    return editing.finish()


def _found(editing: Editing, root: Operation) -> None:
    """Replace the formula around a root of a mean, where it is one of the two normalizations."""
    cone = tuple(above(editing, root.output))
    means = [made for name in cone if (made := editing.producer(name)) is not None and mean_axes(editing, made)]
    if not means:
        return
    axes = mean_axes(editing, means[0])
    for end in below(editing, root.output, steps=_STEPS):
        for start in cone:
            found = _recognized(editing, start, end, axes)
            if found is not None:
                _put(editing, start=start, end=end, axes=axes, op=found[0], epsilon=found[1])
                return


def _recognized(editing: Editing, start: str, end: str, axes: tuple[int, ...]) -> tuple[str, float] | None:
    """Return which normalization leads from one value to the other, and its epsilon."""
    values = computed(editing, end, {start: _POINTS}, axes=axes)
    if values is None or values.shape != _POINTS.shape:
        return None
    centered = _POINTS - _POINTS.mean(axis=-1, keepdims=True)
    for epsilon in _scalars(editing, end):
        for op, base in (("LayerNormalization", centered), ("RMSNormalization", _POINTS)):
            expected = base / np.sqrt((base**2).mean(axis=-1, keepdims=True) + epsilon)
            if np.allclose(values, expected, rtol=1e-6, atol=1e-7):
                return op, epsilon
    return None


def _scalars(editing: Editing, end: str) -> Iterator[float]:
    """Yield what may be the epsilon: the small constants of the formula, and none."""
    for name in above(editing, end):
        made = editing.producer(name)
        for source in made.inputs if made is not None and made.op == "Add" else ():
            scalar = editing.scalar(source)
            if scalar is not None and 0 < scalar < _LARGEST_EPSILON:
                yield scalar
    yield 0.0


def _put(editing: Editing, *, start: str, end: str, axes: tuple[int, ...], op: str, epsilon: float) -> None:
    fact, made = editing.fact(start), editing.producer(end)
    if fact is None or made is None or editing.fact(end) is None:
        return
    rank = len(fact.shape)
    others = tuple(axis for axis in range(rank) if axis not in axes)
    order = (*others, *axes)
    normalized = Operation(
        op=op,
        name=made.name,
        inputs=(start,),
        outputs=(end,),
        attributes={"axis": rank - len(axes), "epsilon": epsilon},
    )
    if order == tuple(range(rank)):
        editing.replace([made], [normalized])
        return
    back = tuple(order.index(axis) for axis in range(rank))
    turned = _turned_fact(fact, order)
    names = (editing.put_fact(f"{end}/turned", turned), editing.put_fact(f"{end}/normalized", turned))
    editing.replace(
        [made],
        [
            Operation(
                op="Transpose",
                name=f"{made.name}/turn",
                inputs=(start,),
                outputs=(names[0],),
                attributes={"perm": order},
            ),
            dataclasses.replace(normalized, inputs=(names[0],), outputs=(names[1],)),
            Operation(
                op="Transpose",
                name=f"{made.name}/back",
                inputs=(names[1],),
                outputs=(end,),
                attributes={"perm": back},
            ),
        ],
    )


def _turned_fact(fact: Fact, order: tuple[int, ...]) -> Fact:
    batch = None if fact.batch is None else order.index(fact.batch)
    return Fact(shape=tuple(fact.shape[axis] for axis in order), element=fact.element, batch=batch)


def _with_affine(editing: Editing, operation: Operation) -> None:
    """Take a Mul, then an Add, of constants over the normalized axes into a normalization that has neither."""
    for op, place in (("Mul", 1), ("Add", 2)):
        if operation.input(place) or (op == "Add" and operation.op == "RMSNormalization"):
            return
        turn = _turn_after(editing, operation)
        last = operation if turn is None else turn
        reader = editing.sole_reader(last.output)
        if reader is None or reader.op != op or len(set(reader.inputs)) != 2:
            return
        numbers = _along_axes(editing, operation, turn, reader.inputs[1 if reader.inputs[0] == last.output else 0])
        if numbers is None:
            return
        name = editing.put_constant(f"{reader.output}/{op.lower()}", numbers)
        inputs = (*operation.inputs, *("",) * (place - len(operation.inputs)), name)
        if turn is None:
            changed = dataclasses.replace(operation, inputs=inputs, outputs=reader.outputs)
            editing.replace([operation, reader], [changed])
        else:
            changed = dataclasses.replace(operation, inputs=inputs)
            moved = dataclasses.replace(turn, outputs=reader.outputs)
            editing.replace([operation, turn, reader], [changed, moved])
        operation = changed


def _turn_after(editing: Editing, operation: Operation) -> Operation | None:
    reader = editing.sole_reader(operation.output)
    return reader if reader is not None and reader.op == "Transpose" else None


def _along_axes(editing: Editing, operation: Operation, turn: Operation | None, name: str) -> NDArray[Any] | None:
    """Return the constant as one over the normalized axes alone; None where it varies along others too."""
    array, fact = editing.constant(name), editing.fact(operation.output)
    if array is None or fact is None or array.ndim > len(fact.shape):
        return None
    rank = len(fact.shape)
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if turn is not None:
        order = turn.integers("perm", ())
        full = full.transpose(tuple(order.index(axis) for axis in range(rank)))
    first = operation.integer("axis", -1) % rank
    if any(size != 1 for size in full.shape[:first]):
        return None
    return np.ascontiguousarray(np.broadcast_to(full.reshape(full.shape[first:]), fact.shape[first:]))
