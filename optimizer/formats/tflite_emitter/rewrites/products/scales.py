"""Factors and offsets by column, biases and batch normalization too, go into the product before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.linear import Linear, linear_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation


def fold_scales(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with what follows a product column by column inside it, as often as that can be."""
    editing = Editing(graph)
    for operation in graph.operations:
        current = editing.producer(operation.output)
        while current is not None:
            current = _folded(editing, current)
    return editing.finish()


def _folded(editing: Editing, operation: Operation) -> Operation | None:
    """Put the one reader of a product into it; return the new product, or None where that can't be."""
    reader = editing.sole_reader(operation.output)
    if reader is None or operation.activation is not Activation.NONE:
        return None
    linear = linear_of(editing, operation) if reader.op in ("Mul", "Div", "Add", "Sub") else None
    if linear is None or editing.fact(reader.output) != editing.fact(operation.output):
        return None
    changed = _changed(editing, linear, reader, operation.output)
    if changed is None:
        return None
    done = changed.written(editing, reader.output, name=operation.name, activation=reader.activation)
    editing.replace([operation, reader], [done])
    return done


def _changed(editing: Editing, linear: Linear, reader: Operation, product: str) -> Linear | None:
    first = reader.input(0) == product
    numbers = _by_column(editing.constant(reader.input(1 if first else 0)), linear.weights.shape[1])
    if numbers is None or (reader.op == "Div" and not (first and numbers.all())):
        return None
    if reader.op in ("Mul", "Div"):
        return linear.scaled(numbers if reader.op == "Mul" else 1 / numbers)
    if reader.op == "Add":
        return Linear(value=linear.value, weights=linear.weights, row=linear.row + numbers)
    if first:
        return Linear(value=linear.value, weights=linear.weights, row=linear.row - numbers)
    return Linear(value=linear.value, weights=-linear.weights, row=numbers - linear.row)


def _by_column(array: NDArray[Any] | None, columns: int) -> NDArray[Any] | None:
    """Return a constant as one number a column; None where it varies along anything else."""
    if array is None or array.dtype.kind != "f" or array.size not in (1, columns):
        return None
    if array.size > 1 and array.shape[-1] != columns:
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (columns,))
