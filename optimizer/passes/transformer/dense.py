"""The dense layers of a graph: a MatMul or Gemm of an activation with constant weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.passes.layers import given
from optimizer.passes.transformer.graph import Graph, attribute, open_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """One dense layer: ``source @ weights (+ bias)``.

    Attributes:
        operation: the ``onnx`` proto of the layer.
        name: the tensor that the layer gives.
        source: the tensor that it reads.
        weights: float32, shape (inputs, outputs).
        bias: name of what a Gemm adds; empty where nothing is added.
    """

    operation: Any
    name: str
    source: str
    weights: NDArray[np.float32]
    bias: str


def dense_layers(graph: Graph) -> Iterator[Dense]:
    """Yield the dense layers in the file's order."""
    for operation in graph.operations:
        layer = dense_layer(graph, operation)
        if layer is not None:
            yield layer


def dense_layer(graph: Graph, operation: Any) -> Dense | None:
    """Return the layer that an operation is; None where it is none, or not of float32.

    A Gemm's factors go into its constants; one that reads its activation transposed, or scales what is no constant,
    is no layer.
    """
    if operation.op_type not in ("MatMul", "Gemm"):
        return None
    weights = graph.constant(operation.input[1])
    if weights is None or weights.ndim != 2 or weights.dtype != np.float32:
        return None
    if graph.constant(operation.input[0]) is not None:
        return None
    bias = ""
    if operation.op_type == "Gemm":
        if attribute(operation, "transA", 0):
            return None
        weights = weights.T if attribute(operation, "transB", 0) else weights
        weights = weights * np.float32(attribute(operation, "alpha", 1.0))
        added = _gemm_bias(graph, operation)
        if added is None:
            return None
        bias = added
    return Dense(operation=operation, name=given(operation), source=operation.input[0], weights=weights, bias=bias)


def put_weights(graph: Graph, layer: Dense, weights: NDArray[np.float32]) -> None:
    """Give the layer other weights of the same shape, as constants of its own."""
    operation = layer.operation
    operation.input[1] = graph.add_constant(f"{layer.name}/weights", weights.astype(np.float32))
    if operation.op_type == "Gemm":
        for item in [item for item in operation.attribute if item.name in ("transB", "alpha", "beta")]:
            operation.attribute.remove(item)
        del operation.input[2:]
        if layer.bias:
            operation.input.append(layer.bias)


def narrowing_layers(model: Model) -> tuple[str, ...]:
    """Return the dense layers that give fewer values than they read, by the tensor they give, in the file's order.

    In a transformer these are the second halves of the feed-forward parts, whose inputs have the widest outliers.

    Raises:
        ModelError: not an ONNX model.
    """
    found = dense_layers(open_graph(model))
    return tuple(layer.name for layer in found if layer.weights.shape[0] > layer.weights.shape[1])


def _gemm_bias(graph: Graph, operation: Any) -> str | None:
    """Return the name of what is added, beta folded in; empty where nothing is, None where it cannot be folded."""
    name = operation.input[2] if len(operation.input) > 2 else ""
    beta = attribute(operation, "beta", 1.0)
    if not name or beta == 1.0:
        return str(name)
    values = graph.constant(name)
    return None if values is None else graph.add_constant(f"{given(operation)}/bias", values * np.float32(beta))
