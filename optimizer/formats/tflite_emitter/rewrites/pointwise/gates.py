"""HardSigmoid behind a layer is spelled out: the layer takes its sum and its bounds, and a product is left."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.rewrites.editing import Editing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation

_LAYERS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_TOP: Final = 6.0
"""What TFLite fuses: bounds of 0 and 6."""


def spell_gates(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such gates as a sixth of what bounds of 0 and 6 make of six times their line."""
    editing = Editing(graph)
    for operation in graph.operations:
        value, fact = operation.input(0), editing.fact(operation.output)
        if operation.op != "HardSigmoid" or fact is None or not editing.is_inner(value):
            continue
        if editing.producer_of(value, *_LAYERS) is None:
            continue
        alpha, beta = operation.number("alpha", 0.2), operation.number("beta", 0.5)
        slope = 1.0 if np.isclose(_TOP * alpha, 1.0, rtol=1e-6) else _TOP * alpha
        steps: list[tuple[str, Mapping[str, float]]] = [("Mul", {"slope": slope})] if slope != 1.0 else []
        steps += [("Add", {"shift": _TOP * beta}), ("Clip", {"low": 0.0, "high": _TOP}), ("Mul", {"share": 1 / _TOP})]
        editing.replace([operation], _chain(editing, operation, steps))
    return editing.finish()


def _chain(editing: Editing, operation: Operation, steps: list[tuple[str, Mapping[str, float]]]) -> list[Operation]:
    """Return the steps one after the other, from the operation's input to its output."""
    fact, value, written = editing.fact(operation.output), operation.input(0), []
    for place, (op, numbers) in enumerate(steps):
        last = place == len(steps) - 1
        given = f"{operation.output}/{next(iter(numbers))}" if not last else operation.output
        constants = tuple(
            editing.put_constant(f"{operation.output}/{name}/number", np.asarray(number, dtype=np.float32))
            for name, number in numbers.items()
        )
        if not last and fact is not None:
            editing.put_fact(given, fact)
        name = operation.name if last else f"{operation.name}/{next(iter(numbers))}"
        written.append(
            dataclasses.replace(
                operation, op=op, name=name, inputs=(value, *constants), outputs=(given,), attributes={}
            )
        )
        value = given
    return written
