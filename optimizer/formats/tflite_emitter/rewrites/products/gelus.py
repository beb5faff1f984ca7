"""GELU as exporters spell it, by Erf or by Tanh in any order of factors, becomes Gelu."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.products.cones import above, below, computed

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_POINTS: Final = np.linspace(-6.0, 6.0, 61)
_EXACT: Final = np.asarray([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in _POINTS])
_BY_TANH: Final = 0.5 * _POINTS * (1 + np.tanh(math.sqrt(2 / math.pi) * (_POINTS + 0.044715 * _POINTS**3)))
_FORMS: Final = {"Erf": ("none", _EXACT), "Tanh": ("tanh", _BY_TANH)}
_TOLERANCE: Final = 1e-6
_STEPS: Final = 4


def find_gelus(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such formulas as one operation each."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op in _FORMS:
            _found(editing, operation)
    return editing.finish()


def _found(editing: Editing, operation: Operation) -> None:
    approximate, expected = _FORMS[operation.op]
    for end in below(editing, operation.output, steps=_STEPS):
        for start in above(editing, operation.input(0)):
            values = computed(editing, end, {start: _POINTS})
            if values is None or values.shape != _POINTS.shape or not np.allclose(values, expected, atol=_TOLERANCE):
                continue
            made = editing.producer(end)
            gelu = Operation(
                op="Gelu",
                name=operation.name,
                inputs=(start,),
                outputs=(end,),
                attributes={"approximate": approximate},
            )
            editing.replace([made] if made is not None else [], [gelu])
            return
