"""Relu, Clip, and Min and Max with a number: one after the other they are one Clip."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation, Operation
from optimizer.formats.tflite_emitter.rewrites.activations import TAKES_ACTIVATION
from optimizer.formats.tflite_emitter.rewrites.editing import Editing

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Clamp:
    """The bounds that a value is kept between; infinite where there is none."""

    value: str
    low: float
    high: float

    def then(self, value: str, other: Clamp) -> Clamp:
        """Return what keeping between these and then between the others' bounds is, of that value."""
        low, high = (float(min(max(bound, other.low), other.high)) for bound in (self.low, self.high))
        return Clamp(value=value, low=low, high=high)


def join_clamps(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with each run of clamps as one Relu or Clip."""
    editing = Editing(graph)
    for operation in graph.operations:
        outer = clamp_of(editing, operation)
        if outer is None or operation.activation is not Activation.NONE:
            continue
        before, olds = editing.producer(outer.value), [operation]
        inner = clamp_of(editing, before) if before is not None and editing.is_inner(outer.value) else None
        if before is not None and inner is not None and before.activation is Activation.NONE:
            outer, olds = inner.then(inner.value, outer), [before, operation]
        if len(olds) > 1 or (operation.op == "Max" and outer.low == 0.0):
            editing.replace(olds, [_written(editing, operation, outer)])
    return editing.finish()


def split_clamps(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with what can be fused apart from the other bound.

    Clip from 0 on becomes Relu and Min; behind what takes it, Clip from 0 to 1 becomes Clip from -1 to 1 and Relu.
    """
    editing = Editing(graph)
    for operation in graph.operations:
        clamp, fact = clamp_of(editing, operation), editing.fact(operation.output)
        if operation.op != "Clip" or clamp is None or fact is None or clamp.low != 0.0:
            continue
        before = editing.producer_of(clamp.value, *TAKES_ACTIVATION)
        is_fused = before is not None and editing.is_inner(clamp.value) and before.activation is Activation.NONE
        inner, outer = f"{operation.output}/inner", clamp.value
        if clamp.high == 1.0 and is_fused:
            first = Clamp(value=outer, low=-1.0, high=1.0)
            last = dataclasses.replace(operation, op="Relu", inputs=(inner,), attributes={})
        elif clamp.high not in (1.0, 6.0, np.inf):
            first = Clamp(value=outer, low=0.0, high=np.inf)
            bound = editing.put_constant(f"{operation.output}/bound", np.asarray(clamp.high, dtype=np.float32))
            last = dataclasses.replace(operation, op="Min", inputs=(inner, bound), attributes={})
        else:
            continue
        editing.put_fact(inner, fact)
        written = dataclasses.replace(_written(editing, operation, first), outputs=(inner,))
        editing.replace([operation], [written, last])
    return editing.finish()


def clamp_of(editing: Editing, operation: Operation | None) -> Clamp | None:
    """Return the bounds that an operation keeps floats between; None where it does something else."""
    fact = editing.fact(operation.output) if operation is not None else None
    if operation is None or fact is None or fact.element.kind != "f":
        return None
    if operation.op == "Relu":
        return Clamp(value=operation.input(0), low=0.0, high=np.inf)
    if operation.op in ("Max", "Min") and len(operation.inputs) == 2:
        return _one_sided(editing, operation)
    if operation.op != "Clip":
        return None
    low = _bound(editing, operation, place=1, name="min", none=-np.inf)
    high = _bound(editing, operation, place=2, name="max", none=np.inf)
    if low is None or high is None or not low <= high:
        return None
    return Clamp(value=operation.input(0), low=low, high=high)


def _one_sided(editing: Editing, operation: Operation) -> Clamp | None:
    for value, bound in (operation.inputs, operation.inputs[::-1]):
        number = editing.scalar(bound)
        if (
            number is None
            or editing.constant(value) is not None
            or editing.fact(value) != editing.fact(operation.output)
        ):
            continue
        if operation.op == "Max":
            return Clamp(value=value, low=number, high=np.inf)
        return Clamp(value=value, low=-np.inf, high=number)
    return None


def _bound(editing: Editing, operation: Operation, *, place: int, name: str, none: float) -> float | None:
    """Return a bound of Clip, infinite where there is none; None where it is computed."""
    number = editing.scalar(operation.input(place)) if operation.input(place) else operation.number(name, none)
    if number is None or np.isnan(number):
        return None
    return float(none) if abs(number) >= float(np.finfo(np.float32).max) and (number > 0) == (none > 0) else number


def _written(editing: Editing, operation: Operation, clamp: Clamp) -> Operation:
    """Return the Relu or Clip with those bounds, as the result of the operation."""
    written = dataclasses.replace(operation, op="Relu", inputs=(clamp.value,), attributes={})
    if (clamp.low, clamp.high) == (0.0, np.inf):
        return written
    bounds = ((clamp.low, "low"), (clamp.high, "high"))
    names = tuple(
        ""
        if np.isinf(number)
        else editing.put_constant(f"{operation.output}/{side}", np.asarray(number, dtype=np.float32))
        for number, side in bounds
    )
    return dataclasses.replace(written, op="Clip", inputs=(clamp.value, *names))
