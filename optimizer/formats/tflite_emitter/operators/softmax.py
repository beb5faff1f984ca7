"""Softmax, LogSoftmax and Hardmax: over one axis, or over all from one on as before opset 13."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.layout import INSERTED, Value, arranged
from optimizer.formats.tflite_emitter.operators.elementwise.formula import require
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_CODES: Final = {"LogSoftmax": "LOG_SOFTMAX", "Softmax": "SOFTMAX"}
_PER_AXIS_OPSET: Final = 13


def lower_softmax(operation: Operation, lowering: Lowering) -> None:
    """Write Softmax and LogSoftmax; TFLite's are over the last axis, so the value is turned where it is not."""
    require(operation, lowering, served=("float32", "float64"))
    code = _CODES[operation.op]
    options = lowering.schema.SoftmaxOptionsT() if code == "SOFTMAX" else lowering.schema.LogSoftmaxOptionsT()
    if code == "SOFTMAX":
        options.beta = 1.0
    value, merged = _rows(operation, lowering)
    if merged is None:
        lowering.write(operation, code, (value.tensor,), axes=value.axes, columns=value.columns, options=options)
        return
    row = lowering.step(code, (merged.tensor,), f"{operation.output}/rows", shape=merged.shape, options=options)
    _parted(operation, lowering, row, value)


def lower_hardmax(operation: Operation, lowering: Lowering) -> None:
    """Write 1 at the place of the largest, 0 elsewhere."""
    require(operation, lowering, served=("float32", "float64"))
    value, merged = _rows(operation, lowering)
    flat = value if merged is None else merged
    if flat.stored_batch == len(flat.stored_shape) - 1:
        raise lowering.refusal(operation, "it asks for the largest along the batch; export a fixed batch")
    shape, last = flat.stored_shape, len(flat.stored_shape) - 1
    chosen = lowering.schema.ArgMaxOptionsT()
    chosen.outputType = lowering.schema.TensorType.INT32
    axis = lowering.writer.add_constant("axis", np.asarray(last, dtype=np.int32))
    name = f"{operation.output}/largest"
    place = lowering.step("ARG_MAX", (flat.tensor, axis), name, shape=shape[:last], element=np.int32, options=chosen)
    depth = lowering.writer.add_constant("depth", np.asarray(shape[last], dtype=np.int32))
    levels = [lowering.writer.add_constant("level", np.asarray(level, dtype=np.float32)) for level in (1, 0)]
    options = lowering.schema.OneHotOptionsT()
    options.axis = last
    inputs = (place, depth, *levels)
    if merged is None:
        lowering.write(operation, "ONE_HOT", inputs, axes=value.axes, options=options)
    else:
        _parted(operation, lowering, lowering.step("ONE_HOT", inputs, name, shape=shape, options=options), value)


def _rows(operation: Operation, lowering: Lowering) -> tuple[Value, Value | None]:
    """Return the value with what is normalized last, and its rows where that takes several axes."""
    value = lowering.value(operation.input(0))
    rank = len(value.shape)
    if rank == 0:
        raise lowering.refusal(operation, "its input is a single number")
    per_axis = lowering.graph.opset >= _PER_AXIS_OPSET
    axis = operation.integer("axis", -1 if per_axis else 1)
    first = axis % rank if axis < rank else rank
    normalized = (first,) if per_axis else tuple(place for place in range(first, rank) if _is_long(value, place))
    if operation.op == "Hardmax" or normalized != (1,):
        value = lowering.in_order(value)
    if len(normalized) == 1:
        return _turned(lowering, value, normalized), None
    ordered = operation.op == "Hardmax"
    value = lowering.as_plain(value) if ordered else _turned(lowering, value, tuple(range(first, rank)))
    return value, _merged(lowering, value, first)


def _is_long(value: Value, axis: int) -> bool:
    return value.shape[axis] > 1 or axis == value.batch


def _turned(lowering: Lowering, value: Value, last: tuple[int, ...]) -> Value:
    """Return the value with those axes, in whatever order they lie, behind all others."""
    stored = [axis for axis in value.axes if axis != INSERTED]
    wanted = (*(axis for axis in stored if axis not in last), *(axis for axis in stored if axis in last))
    if value.axes[len(value.axes) - len(last) :] == wanted[len(wanted) - len(last) :]:
        return value
    return lowering.with_axes(value, wanted)


def _merged(lowering: Lowering, value: Value, first: int) -> Value:
    """Return the rows of the value: all axes from ``first`` on lie in the last one."""
    outer, inner = (int(np.prod(part, dtype=np.int64)) for part in (value.shape[:first], value.shape[first:]))
    batch = None if value.batch is None else int(value.batch >= first)
    tensor = lowering.reshape_tensor(value.tensor, (outer, inner), "rows", batch=batch)
    return Value(tensor=tensor, shape=(outer, inner), axes=(0, 1), batch=batch)


def _parted(operation: Operation, lowering: Lowering, tensor: int, like: Value) -> None:
    """Give rows the shape of the value that they were made of, as the operation's result."""
    shape = arranged(like.shape, like.axes)
    parted = lowering.reshape_tensor(tensor, shape, operation.output, batch=like.stored_batch)
    lowering.define(operation, parted, axes=like.axes, columns=like.columns)


ENTRIES: Mapping[str, Entry] = {
    "Hardmax": Entry(lower=lower_hardmax, writes=("ARG_MAX", "ONE_HOT")),
    "LogSoftmax": Entry(lower=lower_softmax, writes=("LOG_SOFTMAX",)),
    "Softmax": Entry(lower=lower_softmax, writes=("SOFTMAX",)),
}
