"""Operators over whole axes: means and softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.layout import INSERTED, Axes, Value
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_PER_AXIS_OPSET = 13


def lower_global_average(operation: Operation, lowering: Lowering) -> None:
    """Write GlobalAveragePool as MEAN over the image."""
    value = lowering.image(operation)
    _mean(operation, lowering, value, reduced=tuple(range(2, len(value.shape))), keeps=True)


def lower_mean(operation: Operation, lowering: Lowering) -> None:
    """Write ReduceMean over any axes."""
    value = lowering.value(operation.input(0))
    if value.columns is not None:
        value = lowering.as_plain(value)
    rank = len(value.shape)
    given = lowering.constant(operation, 1).tolist() if operation.input(1) else operation.integers("axes", ())
    if not given and operation.integer("noop_with_empty_axes", 0):
        lowering.define(operation, value.tensor, axes=value.axes)
        return
    reduced = tuple(axis % rank for axis in given) or tuple(range(rank))
    _mean(operation, lowering, value, reduced=reduced, keeps=bool(operation.integer("keepdims", 1)))


def lower_softmax(operation: Operation, lowering: Lowering) -> None:
    """Write Softmax; TFLite's is over the last axis, so the value is turned where it is not."""
    value = lowering.value(operation.input(0))
    rank = len(value.shape)
    per_axis = lowering.graph.opset >= _PER_AXIS_OPSET
    axis = operation.integer("axis", -1 if per_axis else 1) % rank
    if not per_axis and axis != rank - 1:
        raise lowering.refusal(operation, f"before opset 13 it merges axes from {axis} on; export with a newer opset")
    value = lowering.in_order(value)
    if value.axes[-1] != axis:
        others = tuple(place for place in range(rank) if place != axis)
        value = lowering.with_axes(value, (*others, axis))
    options = lowering.schema.SoftmaxOptionsT()
    options.beta = 1.0
    lowering.write(operation, "SOFTMAX", (value.tensor,), axes=value.axes, options=options)


def _mean(operation: Operation, lowering: Lowering, value: Value, *, reduced: Axes, keeps: bool) -> None:
    """Append MEAN over those logical axes; an inserted axis goes with them where axes are dropped."""
    places = [place for place, axis in enumerate(value.axes) if axis in reduced or (axis == INSERTED and not keeps)]
    options = lowering.schema.ReducerOptionsT()
    options.keepDims = keeps
    inputs = (value.tensor, lowering.writer.add_constant("axes", np.asarray(places, dtype=np.int32)))
    lowering.write(operation, "MEAN", inputs, axes=_after(value, reduced, keeps=keeps), options=options)


def _after(value: Value, reduced: Axes, *, keeps: bool) -> Axes:
    """Return the order of axes of the mean."""
    if keeps:
        return value.axes
    left = [axis for axis in range(len(value.shape)) if axis not in reduced]
    return tuple(left.index(axis) for axis in value.axes if axis in left)


ENTRIES: Mapping[str, Entry] = {
    "GlobalAveragePool": Entry(lower=lower_global_average, writes=("MEAN",), image=True),
    "ReduceMean": Entry(lower=lower_mean, writes=("MEAN",)),
    "Softmax": Entry(lower=lower_softmax, writes=("SOFTMAX",), limits="over one axis"),
}
