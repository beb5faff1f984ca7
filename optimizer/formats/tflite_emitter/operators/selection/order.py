"""Ranking and reversing: TopK, ReverseSequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.layout import Axes, Value, arranged
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_RANKED = frozenset({"float32", "int32"})


def lower_top(operation: Operation, lowering: Lowering) -> None:
    """Write TopK as TOPK_V2 over the last axis, to which another one is moved; the smallest by their negatives."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    axis = operation.integer("axis", -1) % len(value.shape)
    if value.element.name not in _RANKED or axis == value.batch:
        reason = "it ranks the batch" if axis == value.batch else f"it ranks {value.element}"
        raise lowering.refusal(operation, f"{reason}; float32 and int32 along another axis than the batch are written")
    count = lowering.parameter(operation, 1, "k")
    if value.axes[-1] != axis:
        value = lowering.with_axes(value, (*(place for place in range(len(value.shape)) if place != axis), axis))
    smallest = not operation.integer("largest", 1)
    tensor = _negative(lowering, value, value.tensor) if smallest else value.tensor
    shape = arranged(lowering.result(operation).shape, value.axes)
    chosen = lowering.writer.add_constant(f"{operation.output}/k", np.asarray(count, dtype=np.int32).reshape(()))
    names = (f"{operation.name}/values", f"{operation.name}/places")
    elements = (value.element, np.dtype(np.int32))
    values, places = (lowering.writer.add_tensor(name, shape, kind) for name, kind in zip(names, elements, strict=True))
    lowering.writer.add_operator(
        "TOPK_V2", (tensor, chosen), (values, places), options=lowering.schema.TopKV2OptionsT()
    )
    read = lowering.graph.uses()
    if read[operation.outputs[0]]:
        values = _negative(lowering, value, values, shape=shape) if smallest else values
        lowering.define(operation, values, axes=value.axes)
    if len(operation.outputs) > 1 and read[operation.outputs[1]]:
        _define_places(operation, lowering, places, axes=value.axes, shape=shape)


def _negative(lowering: Lowering, value: Value, tensor: int, *, shape: tuple[int, ...] = ()) -> int:
    options = lowering.schema.NegOptionsT()
    stored = shape or value.stored_shape
    return lowering.step("NEG", (tensor,), "negative", shape=stored, element=value.element, options=options)


def _define_places(
    operation: Operation, lowering: Lowering, places: int, *, axes: Axes, shape: tuple[int, ...]
) -> None:
    """Record the places as ONNX's int64."""
    options, types = lowering.schema.CastOptionsT(), lowering.schema.TensorType
    options.inDataType, options.outDataType = types.INT32, types.INT64
    name = operation.outputs[1]
    tensor = lowering.step("CAST", (places,), name, shape=shape, element=np.int64, options=options)
    lowering.define(operation, tensor, axes=axes, place=1)


def lower_reverse_sequence(operation: Operation, lowering: Lowering) -> None:
    """Write ReverseSequence, which turns the beginning of each row around, in the value's layout."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    lengths = lowering.as_plain(lowering.value(operation.input(1)))
    if operation.input(1) in lowering.graph.batch_constants:
        raise lowering.refusal(operation, "its lengths depend on the batch; export a fixed batch")
    options = lowering.schema.ReverseSequenceOptionsT()
    options.seqDim = value.axes.index(operation.integer("time_axis", 0))
    options.batchDim = value.axes.index(operation.integer("batch_axis", 1))
    inputs = (value.tensor, lengths.tensor)
    lowering.write(operation, "REVERSE_SEQUENCE", inputs, axes=value.axes, options=options)


ENTRIES: Mapping[str, Entry] = {
    "ReverseSequence": Entry(lower=lower_reverse_sequence, writes=("REVERSE_SEQUENCE",), any_layout=True),
    "TopK": Entry(
        lower=lower_top, writes=("TOPK_V2", "CAST", "NEG"), any_layout=True, limits="constant k; float32 and int32"
    ),
}
