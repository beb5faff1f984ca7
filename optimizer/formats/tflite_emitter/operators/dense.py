"""Products: by a constant matrix as FULLY_CONNECTED, all others as BATCH_MATMUL.

FULLY_CONNECTED works on the last axis as it is stored and lets the others lie as they do. BATCH_MATMUL takes its right
side transposed for nothing, and a left side that lies transposed by computing the transposed product; XNNPACK does not
know a transposed left side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.layout import INSERTED, Axes, Value, plain
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_KEEPS_RANK_VERSION = 5
_LARGEST_RANK = 5


def lower_gemm(operation: Operation, lowering: Lowering) -> None:
    """Write alpha x A x B + beta x C with constant B and a constant row C; the other uses were rewritten."""
    if operation.integer("transA", 0):
        raise lowering.refusal(operation, "it transposes its first input and multiplies it by a constant")
    matrix = lowering.constant(operation, 1).astype(np.float64) * operation.number("alpha", 1.0)
    weights = matrix if operation.integer("transB", 0) else matrix.T
    row = np.zeros(1)
    if operation.input(2):
        row = lowering.constant(operation, 2).astype(np.float64) * operation.number("beta", 1.0)
    if row.size not in (1, len(weights)) or row.shape[-1:] not in ((), (1,), (len(weights),)):
        raise lowering.refusal(operation, f"its third input has shape {row.shape}; one row is written")
    bias = np.broadcast_to(row.reshape(-1), (len(weights),))
    _fully_connected(operation, lowering, lowering.value(operation.input(0)), weights=weights, bias=bias)


def lower_matmul(operation: Operation, lowering: Lowering) -> None:
    """Write A x B, with the bias that fusion may have added as a third input."""
    if lowering.result(operation).element.kind != "f":
        raise lowering.refusal(operation, f"it multiplies {lowering.result(operation).element}; floats are written")
    left, right = operation.input(0), operation.input(1)
    if lowering.is_constant(right) and (matrix := _as_matrix(lowering.constant(operation, 1))) is not None:
        bias = lowering.constant(operation, 2) if operation.input(2) else np.zeros(matrix.shape[1])
        if len(lowering.shape(operation, left)) >= lowering.constant(operation, 1).ndim:
            _fully_connected(operation, lowering, lowering.value(left), weights=matrix.T, bias=bias)
            return
    if operation.input(2):
        raise lowering.refusal(operation, "it adds a row to a product that is no FULLY_CONNECTED")
    if lowering.is_constant(left) and _lies_transposed(lowering, right):
        matrix = _as_matrix(lowering.constant(operation, 0))
        if matrix is not None and lowering.constant(operation, 0).ndim == 2:
            _fully_connected_from_left(operation, lowering, weights=matrix)
            return
    _batch_matmul(operation, lowering, _as_value(operation, lowering, 0), _as_value(operation, lowering, 1))


def _as_matrix(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return a constant right side as (in, out) where it is one matrix; a vector is one column."""
    if array.ndim == 1:
        return array.reshape(-1, 1)
    return array.reshape(array.shape[-2:]) if int(np.prod(array.shape[:-2])) == 1 else None


def _fully_connected(
    operation: Operation, lowering: Lowering, value: Value, *, weights: NDArray[Any], bias: NDArray[Any]
) -> None:
    """Append FULLY_CONNECTED; weights have shape (out, in), in ONNX's order of columns."""
    last = len(value.shape) - 1
    if value.columns is not None:
        weights = weights[:, value.columns]
    elif value.axes[-1] != last:
        value = lowering.with_axes(value, (*(axis for axis in value.axes if axis not in (last, INSERTED)), last))
    stored = value.axes if len(value.axes) > 1 else (INSERTED, *value.axes)
    if len(lowering.result(operation).shape) < len(value.shape):
        stored = (*stored[:-1], INSERTED)
    keeps = len(value.axes) != 2
    options = _options(operation, lowering, keeps=keeps)
    inputs = (value.tensor, *_weights(operation, lowering, weights, bias))
    version = _KEEPS_RANK_VERSION if keeps else 1
    if len(value.axes) == 1:
        options.keepNumDims, version = False, 1
    lowering.write(operation, "FULLY_CONNECTED", inputs, axes=stored, options=options, version=version)


def _fully_connected_from_left(operation: Operation, lowering: Lowering, *, weights: NDArray[Any]) -> None:
    """Append FULLY_CONNECTED for W x B where B lies transposed: its result lies transposed too."""
    value = lowering.value(operation.input(1))
    options = _options(operation, lowering, keeps=len(value.axes) > 2)
    inputs = (value.tensor, *_weights(operation, lowering, weights, np.zeros(len(weights))))
    rank = len(value.shape)
    axes = (*value.axes[:-1], rank - 2)
    version = _KEEPS_RANK_VERSION if options.keepNumDims else 1
    lowering.write(operation, "FULLY_CONNECTED", inputs, axes=axes, options=options, version=version)


def _lies_transposed(lowering: Lowering, name: str) -> bool:
    """Return whether a computed value lies with its last two axes, and no others, the other way round."""
    value = lowering.value(name)
    rank = len(value.shape)
    return value.columns is None and rank > 1 and value.axes == _turned(plain(rank))


def _options(operation: Operation, lowering: Lowering, *, keeps: bool) -> Any:
    options = lowering.schema.FullyConnectedOptionsT()
    options.keepNumDims = keeps
    options.fusedActivationFunction = operation.activation.value
    return options


def _weights(operation: Operation, lowering: Lowering, weights: NDArray[Any], bias: NDArray[Any]) -> tuple[int, int]:
    return (
        lowering.writer.add_constant(f"{operation.output}/weights", weights.astype(np.float32, copy=False)),
        lowering.writer.add_constant(f"{operation.output}/bias", bias.reshape(-1).astype(np.float32, copy=False)),
    )


def _as_value(operation: Operation, lowering: Lowering, place: int) -> Value:
    """Return one side as a value of rank 2 at least: a vector is a row on the left and a column on the right."""
    value = lowering.in_order(lowering.value(operation.input(place)))
    if len(value.shape) > _LARGEST_RANK:
        raise lowering.refusal(operation, f"its input {place} has rank {len(value.shape)}; up to {_LARGEST_RANK}")
    if len(value.shape) > 1:
        return value
    shape = (1, *value.shape) if place == 0 else (*value.shape, 1)
    batch = None if value.batch is None else 1 - place
    tensor = lowering.reshape_tensor(value.tensor, shape, "vector", batch=batch, element=value.element)
    return Value(tensor=tensor, shape=shape, axes=plain(2), element=value.element, batch=batch)


def _batch_matmul(operation: Operation, lowering: Lowering, left: Value, right: Value) -> None:
    """Append BATCH_MATMUL of two values of rank 2 or more."""
    before, rank = _batches(left, right), max(len(left.shape), len(right.shape))
    left, turned = _side(lowering, left, before, wants_turned=False)
    right, turned_right = _side(lowering, right, before, wants_turned=True)
    if turned and not turned_right:
        left, turned = lowering.with_axes(left, _turned(left.axes)), False
    options = lowering.schema.BatchMatMulOptionsT()
    options.adjX, options.adjY = False, turned_right and not turned
    axes = (*(plain(rank)[:-2] if before is None else before), rank - 2, rank - 1)
    if turned:
        left, right, axes = right, left, _turned(axes)
    _finish(operation, lowering, (left.tensor, right.tensor), axes=axes, options=options)


def _batches(left: Value, right: Value) -> Axes | None:
    """Return the stored order of the axes before the last two, where both sides have the same; None for ONNX's."""
    rank = len(left.shape)
    orders = {value.axes[:-2] for value in (left, right)}
    (order,) = orders if len(orders) == 1 else (plain(0),)
    return order if rank == len(right.shape) and sorted(order) == list(range(rank - 2)) else None


def _side(lowering: Lowering, value: Value, before: Axes | None, *, wants_turned: bool) -> tuple[Value, bool]:
    """Return one side with its matrix axes last, and whether they lie the other way round."""
    rank = len(value.shape)
    order = plain(rank)[:-2] if before is None else before
    straight: Axes = (*order, rank - 2, rank - 1)
    if value.axes in (straight, _turned(straight)):
        return value, value.axes != straight
    wanted = _turned(straight) if wants_turned and value.axes[-1] == rank - 2 else straight
    return lowering.with_axes(value, wanted), wanted != straight


def _turned(axes: Axes) -> Axes:
    return (*axes[:-2], axes[-1], axes[-2])


def _finish(operation: Operation, lowering: Lowering, inputs: tuple[int, int], *, axes: Axes, options: object) -> None:
    """Write the product: the axis that a vector lacks is an inserted one, an activation is an operator of its own."""
    fact = lowering.result(operation)
    missing = {0: len(axes) - 2, 1: len(axes) - 1}
    vectors = [missing[place] for place in (0, 1) if len(lowering.shape(operation, operation.input(place))) == 1]
    left = [axis for axis in sorted(axes) if axis not in vectors]
    stored = tuple(INSERTED if axis in vectors else left.index(axis) for axis in axes)
    if operation.activation is Activation.NONE:
        lowering.write(operation, "BATCH_MATMUL", inputs, axes=stored, options=options)
        return
    shape = tuple(1 if axis == INSERTED else fact.shape[axis] for axis in stored)
    tensor = lowering.step("BATCH_MATMUL", inputs, f"{operation.output}/product", shape=shape, options=options)
    activated = lowering.schema.MulOptionsT()
    activated.fusedActivationFunction = operation.activation.value
    one = lowering.writer.add_constant(f"{operation.output}/one", np.ones(1, dtype=np.float32))
    lowering.write(operation, "MUL", (tensor, one), axes=stored, options=activated)


ENTRIES: Mapping[str, Entry] = {
    "Gemm": Entry(lower=lower_gemm, writes=("FULLY_CONNECTED", "BATCH_MATMUL"), limits="floats"),
    "MatMul": Entry(lower=lower_matmul, writes=("FULLY_CONNECTED", "BATCH_MATMUL"), limits="floats, rank 5 at most"),
}
