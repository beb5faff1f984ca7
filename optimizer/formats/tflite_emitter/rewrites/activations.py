"""Relu and Clip to 0..6, -1..1 or 0..inf go into the operation before, where its result goes nowhere else."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation

TAKES_ACTIVATION = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "MaxPool", "AveragePool"})
_CLIPS = {(0.0, 6.0): Activation.RELU6, (-1.0, 1.0): Activation.RELU_N1_TO_1, (0.0, np.inf): Activation.RELU}


def fuse_activations(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such activations inside the operations before them."""
    uses = graph.uses()
    done: dict[str, Operation] = {}
    for operation in graph.operations:
        activation = activation_of(operation, graph.constants)
        before = done.get(operation.input(0))
        fits = before is not None and before.op in TAKES_ACTIVATION and before.activation is Activation.NONE
        if activation is Activation.NONE or before is None or not fits or uses[before.output] != 1:
            done[operation.output] = operation
            continue
        del done[before.output]
        done[operation.output] = dataclasses.replace(before, outputs=operation.outputs, activation=activation)
    return graph.with_operations(done.values())


def activation_of(operation: Operation, constants: Mapping[str, NDArray[Any]]) -> Activation:
    """Return the activation that the operation is; NONE where it is none that TFLite can fuse."""
    if operation.op == "Relu":
        return Activation.RELU
    if operation.op != "Clip":
        return Activation.NONE
    low = _bound(operation, constants, place=1, name="min", default=-np.inf)
    high = _bound(operation, constants, place=2, name="max", default=np.inf)
    return _CLIPS.get((low, high if high < np.finfo(np.float32).max else np.inf), Activation.NONE)


def _bound(
    operation: Operation, constants: Mapping[str, NDArray[Any]], *, place: int, name: str, default: float
) -> float:
    given = operation.input(place)
    if not given:
        return operation.number(name, default)
    return float(constants[given].reshape(-1)[0]) if given in constants else float("nan")
