"""BatchNormalization goes into the weights of the convolution before it, else becomes Mul and Add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.pointwise.layers import scaled_after

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph


def fold_normalizations(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph without batch normalization; one whose statistics are computed stays, and is refused later."""
    editing = Editing(graph)
    for operation in graph.operations:
        fact = editing.fact(operation.input(0))
        if operation.op == "BatchNormalization" and fact is not None:
            _fold(editing, operation, like=fact)
    return editing.finish()


def _fold(editing: Editing, operation: Operation, *, like: Fact) -> None:
    given = [editing.constant(name) for name in operation.inputs[1:5]]
    known = [array.astype(np.float64) for array in given if array is not None]
    if len(known) != 4:
        return
    gamma, beta, mean, variance = (array.reshape(-1, *(1,) * (len(like.shape) - 2)) for array in known)
    factor = gamma / np.sqrt(variance + operation.number("epsilon", 1e-5))
    offset = beta - mean * factor
    before = editing.producer(operation.input(0)) if editing.is_inner(operation.input(0)) else None
    layer = None if before is None else scaled_after(editing, before, factor, offset, output=operation.output)
    if before is not None and layer is not None:
        editing.replace([before, operation], [layer])
    else:
        editing.replace([operation], _scaled(editing, operation, factor, offset, like=like))


def _scaled(
    editing: Editing, operation: Operation, factor: NDArray[Any], offset: NDArray[Any], *, like: Fact
) -> Iterable[Operation]:
    """Return a Mul and an Add by channel."""
    scaled = editing.put_fact(f"{operation.output}/scaled", like)
    names = [
        editing.put_constant(f"{operation.output}/{word}", numbers)
        for word, numbers in (("factor", factor), ("offset", offset))
    ]
    return (
        Operation(op="Mul", name=operation.name, inputs=(operation.input(0), names[0]), outputs=(scaled,)),
        Operation(op="Add", name=operation.name, inputs=(scaled, names[1]), outputs=operation.outputs[:1]),
    )
