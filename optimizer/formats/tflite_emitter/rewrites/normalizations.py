"""BatchNormalization goes into the weights of the convolution before it, else becomes Mul and Add."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph


def fold_normalizations(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph without batch normalization."""
    constants = dict(graph.constants)
    facts: dict[str, Fact] = {}
    uses = graph.uses()
    done: dict[str, Operation] = {}
    for operation in graph.operations:
        before = done.get(operation.input(0))
        if operation.op != "BatchNormalization":
            done[operation.output] = operation
        elif before is not None and uses[operation.input(0)] == 1 and _has_constant_kernel(before, constants):
            del done[operation.input(0)]
            done[operation.output] = _into_convolution(before, operation, constants)
        else:
            for part in _as_scale(operation, constants, facts, like=graph.facts[operation.input(0)]):
                done[part.output] = part
    return graph.with_operations(done.values(), constants=constants, facts=facts)


def _has_constant_kernel(operation: Operation, constants: Mapping[str, NDArray[Any]]) -> bool:
    return operation.op == "Conv" and all(name in constants for name in operation.inputs[1:] if name)


def _scale_of(operation: Operation, constants: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return factor and offset, float64, one a channel, of a BatchNormalization at inference."""
    gamma, beta, mean, variance = (constants[name].astype(np.float64) for name in operation.inputs[1:5])
    factor = gamma / np.sqrt(variance + operation.number("epsilon", 1e-5))
    return factor, beta - mean * factor


def _into_convolution(before: Operation, normalization: Operation, constants: dict[str, NDArray[Any]]) -> Operation:
    factor, offset = _scale_of(normalization, constants)
    kernel = constants[before.input(1)].astype(np.float64)
    bias = constants[before.input(2)].astype(np.float64) if before.input(2) else np.zeros(len(kernel))
    names = (f"{normalization.output}/kernel", f"{normalization.output}/bias")
    constants[names[0]] = (kernel * factor.reshape(-1, *(1,) * (kernel.ndim - 1))).astype(np.float32)
    constants[names[1]] = (bias * factor + offset).astype(np.float32)
    return dataclasses.replace(before, inputs=(before.input(0), *names), outputs=(normalization.output,))


def _as_scale(
    operation: Operation, constants: dict[str, NDArray[Any]], facts: dict[str, Fact], *, like: Fact
) -> tuple[Operation, Operation]:
    factor, offset = _scale_of(operation, constants)
    along_channels = (-1,) + (1,) * (len(like.shape) - 2)
    scaled, names = f"{operation.output}/scaled", (f"{operation.output}/factor", f"{operation.output}/offset")
    for name, numbers in zip(names, (factor, offset), strict=True):
        constants[name] = numbers.astype(np.float32).reshape(along_channels)
    facts[scaled] = like
    return (
        Operation(op="Mul", name=operation.name, inputs=(operation.input(0), names[0]), outputs=(scaled,)),
        Operation(op="Add", name=operation.name, inputs=(scaled, names[1]), outputs=operation.outputs[:1]),
    )
