"""Factors and offsets by column, biases and batch normalization too, go into the product before them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.linear import Linear, is_linear, linear_of

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
    if reader is None or operation.activation is not Activation.NONE or not is_linear(editing, operation):
        return None
    if reader.op not in ("Mul", "Div", "Add", "Sub") or editing.fact(reader.output) != editing.fact(operation.output):
        return None
    done = _with_row(editing, operation, reader) or _with_factors(editing, operation, reader)
    if done is not None:
        editing.replace([operation, reader], [done])
    return done


def _with_factors(editing: Editing, operation: Operation, reader: Operation) -> Operation | None:
    linear = linear_of(editing, operation)
    changed = None if linear is None else _changed(editing, linear, reader, operation.output)
    if changed is None:
        return None
    return changed.written(editing, reader.output, name=operation.name, activation=reader.activation)


def _with_row(editing: Editing, operation: Operation, reader: Operation) -> Operation | None:
    """Return a product that has no row yet with the one that is added to it, its weights as they are."""
    matrix = editing.constant(operation.input(1))
    if operation.op != "MatMul" or operation.input(2) or reader.op != "Add" or matrix is None:
        return None
    row = _by_column(editing.constant(reader.input(int(reader.input(0) == operation.output))), matrix.shape[1])
    if row is None or matrix.dtype != np.float32:
        return None
    inputs = (*operation.inputs[:2], editing.put_constant(f"{reader.output}/row", row))
    return dataclasses.replace(operation, inputs=inputs, outputs=reader.outputs, activation=reader.activation)


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
