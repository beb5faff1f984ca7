"""Rewrites on the ONNX graph before it is lowered: what TFLite does in one operator becomes one operation.

- Identity and Dropout (inference) vanish;
- BatchNormalization goes into the weights of the convolution before it, else becomes Mul and Add;
- Add of a constant row after MatMul becomes the third input, its bias;
- Relu and Clip to 0..6, -1..1 or 0..inf go into the operation before, where its result goes nowhere else.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.onnx_graph import Activation, OnnxGraph, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

TAKES_ACTIVATION = frozenset({"Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "MaxPool", "AveragePool"})
_CLIPS = {(0.0, 6.0): Activation.RELU6, (-1.0, 1.0): Activation.RELU_N1_TO_1, (0.0, np.inf): Activation.RELU}


def fuse(graph: OnnxGraph) -> OnnxGraph:
    """Return an equal graph of fewer operations."""
    for step in (_drop_identities, _fold_normalizations, _add_biases, _fuse_activations):
        graph = step(graph)
    return graph


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


def _drop_identities(graph: OnnxGraph) -> OnnxGraph:
    stands_for: dict[str, str] = {}
    kept = []
    for operation in graph.operations:
        inputs = tuple(stands_for.get(name, name) for name in operation.inputs)
        if operation.op in ("Identity", "Dropout"):
            stands_for[operation.output] = inputs[0]
        else:
            kept.append(dataclasses.replace(operation, inputs=inputs))
    outputs = tuple((public, stands_for.get(value, value)) for public, value in graph.outputs)
    return dataclasses.replace(graph, operations=tuple(kept), outputs=outputs)


def _uses(graph: OnnxGraph) -> Counter[str]:
    """Count how often each value is read, by operations or as an output."""
    names = [name for operation in graph.operations for name in operation.inputs]
    return Counter(names + [value for _, value in graph.outputs])


def _fold_normalizations(graph: OnnxGraph) -> OnnxGraph:
    constants = dict(graph.constants)
    shapes = dict(graph.shapes)
    uses = _uses(graph)
    done: dict[str, Operation] = {}
    for operation in graph.operations:
        before = done.get(operation.input(0))
        if operation.op != "BatchNormalization":
            done[operation.output] = operation
        elif before is not None and uses[operation.input(0)] == 1 and _has_constant_kernel(before, constants):
            del done[operation.input(0)]
            done[operation.output] = _into_convolution(before, operation, constants)
        else:
            for part in _as_scale(operation, constants, shapes):
                done[part.output] = part
    return dataclasses.replace(graph, operations=tuple(done.values()), constants=constants, shapes=shapes)


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
    operation: Operation, constants: dict[str, NDArray[Any]], shapes: dict[str, tuple[int, ...]]
) -> tuple[Operation, Operation]:
    factor, offset = _scale_of(operation, constants)
    shape = shapes[operation.input(0)]
    along_channels = (-1,) + (1,) * (len(shape) - 2)
    scaled, names = f"{operation.output}/scaled", (f"{operation.output}/factor", f"{operation.output}/offset")
    for name, numbers in zip(names, (factor, offset), strict=True):
        constants[name] = numbers.astype(np.float32).reshape(along_channels)
        shapes[name] = constants[name].shape
    shapes[scaled] = shape
    return (
        Operation(op="Mul", name=operation.name, inputs=(operation.input(0), names[0]), outputs=(scaled,)),
        Operation(op="Add", name=operation.name, inputs=(scaled, names[1]), outputs=operation.outputs[:1]),
    )


def _add_biases(graph: OnnxGraph) -> OnnxGraph:
    uses = _uses(graph)
    done: dict[str, Operation] = {}
    for operation in graph.operations:
        product, bias = _product_and_bias(operation, graph, done)
        if product is None or uses[product.output] != 1:
            done[operation.output] = operation
            continue
        del done[product.output]
        done[operation.output] = dataclasses.replace(product, inputs=(*product.inputs, bias), outputs=operation.outputs)
    return dataclasses.replace(graph, operations=tuple(done.values()))


def _product_and_bias(
    operation: Operation, graph: OnnxGraph, done: Mapping[str, Operation]
) -> tuple[Operation | None, str]:
    """Return the MatMul by a constant that an Add gives a constant row to, and the row's name."""
    if operation.op != "Add":
        return None, ""
    for value, bias in (operation.inputs, operation.inputs[::-1]):
        product = done.get(value)
        if product is None or product.op != "MatMul" or len(product.inputs) != 2 or bias not in graph.constants:
            continue
        kernel = graph.constants.get(product.input(1))
        if kernel is not None and kernel.ndim == 2 and graph.constants[bias].shape == kernel.shape[1:]:
            return product, bias
    return None, ""


def _fuse_activations(graph: OnnxGraph) -> OnnxGraph:
    uses = _uses(graph)
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
    return dataclasses.replace(graph, operations=tuple(done.values()))
