"""Gemm of computed sides becomes products and sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.linear import is_linear
from optimizer.formats.tflite_emitter.rewrites.products.replacing import Parts

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation


def split_gemms(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph in which each Gemm has a constant matrix and a constant row."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op != "Gemm" or editing.fact(operation.output) is None:
            continue
        if not is_linear(editing, operation) and all(editing.fact(name) for name in operation.inputs if name):
            _split(editing, operation)
    return editing.finish()


def _split(editing: Editing, operation: Operation) -> None:
    parts, result = Parts(editing, operation), editing.fact(operation.output)
    if result is None:
        return
    sides = [
        parts.transpose(operation.input(place), (1, 0)) if operation.integer(turned, 0) else operation.input(place)
        for place, turned in enumerate(("transA", "transB"))
    ]
    done = parts.put("MatMul", *sides, fact=result)
    if operation.number("alpha", 1.0) != 1.0:
        done = parts.put("Mul", done, parts.scalar(operation.number("alpha", 1.0)), fact=result)
    if operation.input(2) and operation.number("beta", 1.0) != 0.0:
        added, beta = operation.input(2), operation.number("beta", 1.0)
        constant = editing.constant(added)
        if constant is not None:
            added = editing.put_constant(f"{operation.output}/added", (constant * np.float32(beta)))
        elif beta != 1.0:
            added = parts.put("Mul", added, parts.scalar(beta), fact=parts.fact(added))
        done = parts.put("Add", done, added, fact=result)
    parts.finish(done)
