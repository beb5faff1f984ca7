"""Add of a constant row after MatMul becomes the third input, its bias."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation


def add_biases(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such sums inside their products."""
    uses = graph.uses()
    done: dict[str, Operation] = {}
    for operation in graph.operations:
        product, bias = _product_and_bias(operation, graph, done)
        if product is None or uses[product.output] != 1:
            done[operation.output] = operation
            continue
        del done[product.output]
        done[operation.output] = dataclasses.replace(product, inputs=(*product.inputs, bias), outputs=operation.outputs)
    return graph.with_operations(done.values())


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
