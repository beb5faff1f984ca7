"""Factors, offsets and batch normalization after a product by a constant matrix go into the matrix and its row."""

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
    linear = linear_of(editing, operation) if reader.op in ("Mul", "Div", "Add", "Sub", "BatchNormalization") else None
    if linear is None or editing.fact(reader.output) != editing.fact(operation.output):
        return None
    changed = _changed(editing, linear, reader, operation.output)
    if changed is None:
        return None
    done = changed.written(editing, reader.output, name=operation.name, activation=reader.activation)
    editing.replace([operation, reader], [done])
    return done


def _changed(editing: Editing, linear: Linear, reader: Operation, product: str) -> Linear | None:
    if reader.op == "BatchNormalization":
        return _normalized(editing, linear, reader)
    if reader.op == "Div" and reader.input(0) != product:
        return None
    other = reader.input(1) if reader.input(0) == product else reader.input(0)
    numbers = _by_column(editing.constant(other), linear.weights.shape[1])
    if numbers is None:
        return None
    if reader.op == "Mul":
        return linear.scaled(numbers)
    if reader.op == "Div":
        return linear.scaled(1 / numbers) if numbers.all() else None
    if reader.op == "Add":
        return Linear(value=linear.value, weights=linear.weights, row=linear.row + numbers)
    if reader.input(0) == product:
        return Linear(value=linear.value, weights=linear.weights, row=linear.row - numbers)
    return Linear(value=linear.value, weights=-linear.weights, row=numbers - linear.row)


def _by_column(array: NDArray[Any] | None, columns: int) -> NDArray[Any] | None:
    """Return a constant as one number a column; None where it varies along anything else."""
    if array is None or array.dtype.kind != "f" or array.size not in (1, columns):
        return None
    if array.size > 1 and array.shape[-1] != columns:
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (columns,))


def _normalized(editing: Editing, linear: Linear, reader: Operation) -> Linear | None:
    """Return the product followed by a BatchNormalization of its columns: of rank 2, where they are the channels."""
    fact = editing.fact(reader.output)
    given = [editing.constant(name) for name in reader.inputs[1:5]]
    if fact is None or len(fact.shape) != 2 or any(array is None for array in given):
        return None
    gamma, beta, mean, variance = (array.astype(np.float64) for array in given if array is not None)
    factor = gamma / np.sqrt(variance + reader.number("epsilon", 1e-5))
    scaled = linear.scaled(factor)
    return Linear(value=linear.value, weights=scaled.weights, row=scaled.row + beta - mean * factor)
