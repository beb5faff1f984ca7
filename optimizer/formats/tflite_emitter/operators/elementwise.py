"""Operators that treat each element alone: activations, sums and products with broadcasting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.layout import Value, arrange, plain
from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.rewrites.activations import activation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_UNARY = {"Sigmoid": "LOGISTIC", "Tanh": "TANH"}
_BINARY = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV"}


def lower_unary(operation: Operation, lowering: Lowering) -> None:
    """Write Sigmoid and Tanh, in whatever layout the value has."""
    value = lowering.value(operation.input(0))
    lowering.write(operation, _UNARY[operation.op], (value.tensor,), axes=value.axes, columns=value.columns)


def lower_activation(operation: Operation, lowering: Lowering) -> None:
    """Write a Relu or Clip that could not go into the operation before it.

    A Clip becomes a product with 1 that has the activation fused: ai-edge-quantizer knows RELU alone,
    and would leave a standalone RELU6 in float.
    """
    activation = activation_of(operation, lowering.graph.constants)
    value = lowering.value(operation.input(0))
    if activation is Activation.NONE:
        raise lowering.refusal(operation, "it clips to other bounds than 0..6, -1..1 and 0..inf, or to computed ones")
    if activation is Activation.RELU:
        lowering.write(operation, "RELU", (value.tensor,), axes=value.axes, columns=value.columns)
    else:
        options = lowering.schema.MulOptionsT()
        options.fusedActivationFunction = activation.value
        one = lowering.writer.add_constant(f"{operation.output}/one", np.ones(1, dtype=np.float32))
        inputs = (value.tensor, one)
        lowering.write(operation, "MUL", inputs, axes=value.axes, options=options, columns=value.columns)


def lower_binary(operation: Operation, lowering: Lowering) -> None:
    """Write Add, Sub, Mul and Div, with one or two computed sides."""
    left, right = operation.inputs
    constants = lowering.graph.constants
    shape = lowering.shape(operation, operation.output)
    if len(shape) > 4:
        raise lowering.refusal(operation, f"its result has rank {len(shape)}; up to 4 is written")
    if right in constants:
        like, tensor = _with_constant(operation, lowering, name=left, array=constants[right])
        inputs = (like.tensor, tensor)
    elif left in constants:
        like, tensor = _with_constant(operation, lowering, name=right, array=constants[left])
        inputs = (tensor, like.tensor)
    else:
        like, other = _alike(lowering, lowering.value(left), lowering.value(right))
        inputs = (like.tensor, other.tensor)
    code = _BINARY[operation.op]
    options = getattr(lowering.schema, f"{operation.op}OptionsT")()
    options.fusedActivationFunction = operation.activation.value
    axes = like.axes if len(like.shape) == len(shape) else plain(len(shape))
    lowering.write(operation, code, inputs, axes=axes, options=options, columns=like.columns)


def _with_constant(operation: Operation, lowering: Lowering, *, name: str, array: NDArray[Any]) -> tuple[Value, int]:
    """Return the computed side and the constant's tensor, laid out so that they broadcast as in ONNX."""
    value, shape = lowering.value(name), lowering.shape(operation, operation.output)
    if shape != value.shape:
        value = lowering.as_plain(value)
        stored = array
    else:
        full = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        if value.columns is not None and full.shape[1] > 1:
            full = full[:, value.columns]
        stored = _without_leading_ones(arrange(full, value.axes))
    return value, lowering.writer.add_constant(f"{operation.output}/constant", stored.astype(np.float32))


def _without_leading_ones(array: NDArray[Any]) -> NDArray[Any]:
    leading = next((place for place, size in enumerate(array.shape) if size > 1), max(array.ndim - 1, 0))
    return array.reshape(array.shape[leading:] or (1,))


def _alike(lowering: Lowering, left: Value, right: Value) -> tuple[Value, Value]:
    """Return both values in one layout: the one that is not plain decides, where the ranks agree."""
    if _same_columns(left, right):
        return left, right
    if len(left.shape) != len(right.shape):
        left, right = lowering.as_plain(left), lowering.as_plain(right)
        return (left, right) if len(left.shape) > len(right.shape) else _raised(lowering, left, right)
    axes = right.axes if left.axes == plain(len(left.shape)) else left.axes
    return lowering.with_axes(left, axes), lowering.with_axes(right, axes)


def _raised(lowering: Lowering, low: Value, high: Value) -> tuple[Value, Value]:
    """Return the value of lower rank with axes of size 1 before its own, as broadcasting means it."""
    added = len(high.shape) - len(low.shape)
    shape = (1,) * added + low.shape
    batch = None if low.batch is None else low.batch + added
    tensor = lowering.reshape_tensor(low.tensor, shape, "raised", batch=batch, element=low.element)
    return Value(tensor=tensor, shape=shape, axes=plain(len(shape)), element=low.element, batch=batch), high


def _same_columns(left: Value, right: Value) -> bool:
    if left.columns is None or right.columns is None:
        return False
    return left.shape == right.shape and bool(np.array_equal(left.columns, right.columns))


ENTRIES: Mapping[str, Entry] = {
    **{
        op: Entry(lower=lower_binary, writes=(code,), any_layout=True, limits="rank 4 at most")
        for op, code in _BINARY.items()
    },
    **{op: Entry(lower=lower_unary, writes=(code,), any_layout=True) for op, code in _UNARY.items()},
    "Clip": Entry(lower=lower_activation, writes=("MUL",), any_layout=True, limits="to 0..6, -1..1 and 0..inf"),
    "Relu": Entry(lower=lower_activation, writes=("RELU",), any_layout=True),
}
