"""Layer normalization is shortened by its surroundings.

Factor and offset go into the products that alone read it. Where a sum of products is read by layer normalizations and
by further such sums alone (a transformer's stream that is normalized first), the products are centered once and for
all, in their weights: then each normalization is spared its mean.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.linear import Linear, is_linear, linear_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_ROWS: Final = 256
"""Rows of a table that are centered at a time: doubles of all of it would be twice its size."""


def shorten_layer_norms(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with factors and offsets in the products after, and centered streams."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op in ("LayerNormalization", "RMSNormalization"):
            _into_readers(editing, operation)
    for operation in editing.operations:
        if operation.op == "LayerNormalization" and not operation.integer("centered", 0):
            _centered(editing, operation)
    return editing.finish()


def _into_readers(editing: Editing, operation: Operation) -> None:
    """Put factor and offset into the products that read the normalization, some of its rows or their mean."""
    fact, end = editing.fact(operation.output), _end(editing, operation.output)
    readers = editing.readers(end)
    products = all(is_linear(editing, reader) and reader.input(0) == end for reader in readers)
    last = fact is not None and operation.integer("axis", -1) % len(fact.shape) == len(fact.shape) - 1
    if not readers or not products or editing.is_shown(end) or not last or len(operation.inputs) < 2:
        return
    given = [editing.constant(name) if name else None for name in operation.inputs[1:3]]
    if any(name and array is None for name, array in zip(operation.inputs[1:3], given, strict=True)):
        return
    changed = []
    for reader in readers:
        linear = linear_of(editing, reader)
        if linear is None:
            return
        weights, row = linear.weights, linear.row
        if len(given) > 1 and given[1] is not None:
            row = row + given[1].astype(np.float64) @ weights
        if given[0] is not None:
            weights = weights * given[0].astype(np.float64).reshape(-1, 1)
        folded = Linear(value=linear.value, weights=weights, row=row)
        changed.append(folded.written(editing, reader.output, name=reader.name, activation=reader.activation))
    editing.replace([operation, *readers], [dataclasses.replace(operation, inputs=operation.inputs[:1]), *changed])


def _end(editing: Editing, name: str) -> str:
    """Return the value after means over rows and picked rows: what commutes with a factor and an offset by column."""
    while (reader := editing.sole_reader(name)) is not None and _picks_rows(editing, reader, name):
        name = reader.output
    return name


def _picks_rows(editing: Editing, reader: Operation, name: str) -> bool:
    before, after = editing.fact(name), editing.fact(reader.output)
    if before is None or after is None or before.shape[-1:] != after.shape[-1:] or reader.input(0) != name:
        return False
    last = len(before.shape) - 1
    if reader.op == "ReduceMean":
        given = editing.constant(reader.input(1)) if reader.input(1) else np.asarray(reader.integers("axes", ()))
        return given is not None and given.size > 0 and bool((given % len(before.shape) != last).all())
    return reader.op == "Gather" and reader.integer("axis", 0) % len(before.shape) != last


def _centered(editing: Editing, operation: Operation) -> None:
    """Center what the stream that the normalization reads is summed from, where all of it can be."""
    fact = editing.fact(operation.input(0))
    if fact is None or operation.integer("axis", -1) % len(fact.shape) != len(fact.shape) - 1:
        return
    waiting, stream, sources = [operation.input(0)], set[str](), set[str]()
    normalizations: dict[str, Operation] = {}
    while waiting:
        name = waiting.pop()
        if name in stream or name in sources:
            continue
        if editing.constant(name) is not None:
            sources.add(name)
            continue
        if editing.is_shown(name) or not _only_normalized(editing, name, waiting, normalizations):
            return
        made = editing.producer(name)
        if made is not None and made.op == "Add" and made.activation is Activation.NONE and _same_shape(editing, made):
            stream.add(name)
            waiting.extend(made.inputs)
        elif _is_source(editing, made):
            sources.add(name)
        else:
            return
    _center(editing, sources, stream, normalizations)


def _only_normalized(editing: Editing, name: str, waiting: list[str], normalizations: dict[str, Operation]) -> bool:
    """Return whether only sums of the stream and normalizations of the last axis read the value."""
    for reader in editing.readers(name):
        fact = editing.fact(name)
        if reader.op == "Add" and reader.activation is Activation.NONE and _same_shape(editing, reader):
            waiting.append(reader.output)
        elif reader.op == "LayerNormalization" and reader.input(0) == name and fact is not None:
            if reader.integer("axis", -1) % len(fact.shape) != len(fact.shape) - 1 or name in reader.inputs[1:]:
                return False
            normalizations[reader.output] = reader
        else:
            return False
    return True


def _same_shape(editing: Editing, operation: Operation) -> bool:
    """Return whether both sides vary along the last axis: the mean of the sum is the sum of the means."""
    facts = [editing.fact(name) for name in (*operation.inputs, operation.output)]
    return all(fact is not None and fact.shape[-1:] == facts[-1].shape[-1:] for fact in facts if facts[-1] is not None)


def _is_source(editing: Editing, operation: Operation | None) -> bool:
    if operation is None or operation.activation is not Activation.NONE:
        return False
    return is_linear(editing, operation) or _table(editing, operation) is not None


def _table(editing: Editing, operation: Operation) -> str | None:
    """Return the table whose rows a Gather picks, where nobody else reads it."""
    array = editing.constant(operation.input(0))
    if operation.op != "Gather" or array is None or array.ndim != 2 or operation.integer("axis", 0) != 0:
        return None
    return operation.input(0)


def _center(editing: Editing, sources: set[str], stream: set[str], normalizations: dict[str, Operation]) -> None:
    names: dict[str, str] = {}
    for name in sorted(sources):
        array, made = editing.constant(name), editing.producer(name)
        linear = linear_of(editing, made)
        if array is not None:
            names[name] = editing.put_constant(f"{name}/centered", _without_means(array))
        elif linear is not None and made is not None:
            weights = linear.weights - linear.weights.mean(axis=1, keepdims=True)
            centered = Linear(value=linear.value, weights=weights, row=linear.row - linear.row.mean())
            editing.replace([made], [centered.written(editing, name, name=made.name, activation=made.activation)])
        elif made is not None:
            table = editing.put_constant(
                f"{name}/centered", _without_means(np.asarray(editing.constant(made.input(0))))
            )
            editing.replace([made], [dataclasses.replace(made, inputs=(table, *made.inputs[1:]))])
    for name in sorted(stream):
        made = editing.producer(name)
        if made is not None:
            inputs = tuple(names.get(each, each) for each in made.inputs)
            editing.replace([made], [dataclasses.replace(made, inputs=inputs)])
    for name in sorted(normalizations):
        made = editing.producer(name)
        if made is not None:
            editing.replace([made], [dataclasses.replace(made, attributes={**made.attributes, "centered": 1})])


def _without_means(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return the array less the mean of each row of its last axis, in double precision; a table is done in parts."""
    rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    centered = np.empty(rows.shape, dtype=np.float32)
    for start in range(0, len(rows), _ROWS):
        exact = rows[start : start + _ROWS].astype(np.float64)
        centered[start : start + _ROWS] = exact - exact.mean(axis=-1, keepdims=True)
    return centered.reshape(array.shape)
