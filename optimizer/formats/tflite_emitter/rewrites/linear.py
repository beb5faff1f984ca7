"""A product with a constant matrix and a row added, however ONNX spells it: Gemm, or MatMul with its bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.rewrites.editing import Editing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """What such a product computes over the last axis of ``value``: weights of shape (in, out), a row of (out,)."""

    value: str
    weights: NDArray[Any]
    row: NDArray[Any]

    def scaled(self, factor: NDArray[Any] | float) -> Linear:
        """Return the product whose results are multiplied, each by its own factor or all by one."""
        return Linear(value=self.value, weights=self.weights * factor, row=self.row * factor)

    def written(self, editing: Editing, output: str, *, name: str, activation: Activation) -> Operation:
        """Return the MatMul with a bias that gives that output; its constants are added."""
        names = (
            editing.put_constant(f"{output}/matrix", self.weights),
            editing.put_constant(f"{output}/row", self.row),
        )
        return Operation(op="MatMul", name=name, inputs=(self.value, *names), outputs=(output,), activation=activation)


def linear_of(editing: Editing, operation: Operation | None) -> Linear | None:
    """Return what the operation computes, in double precision; None where it is no such product."""
    given = _given(editing, operation)
    if given is None or operation is None:
        return None
    weights, row = given[0].astype(np.float64), given[1]
    if operation.op == "Gemm":
        weights = weights.T if operation.integer("transB", 0) else weights
        weights = weights * operation.number("alpha", 1.0)
        row = row * operation.number("beta", 1.0)
    return Linear(
        value=operation.input(0),
        weights=weights,
        row=np.broadcast_to(row.astype(np.float64).reshape(-1), (weights.shape[1],)),
    )


def is_linear(editing: Editing, operation: Operation | None) -> bool:
    """Return whether the operation is such a product: ``linear_of`` copies its weights, and this does not."""
    return _given(editing, operation) is not None


def _given(editing: Editing, operation: Operation | None) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return matrix and row as the operation holds them."""
    if operation is None or operation.op not in ("Gemm", "MatMul"):
        return None
    matrix = editing.constant(operation.input(1))
    row = editing.constant(operation.input(2)) if operation.input(2) else np.zeros(1)
    if matrix is None or matrix.ndim != 2 or row is None or editing.constant(operation.input(0)) is not None:
        return None
    is_gemm = operation.op == "Gemm"
    columns = matrix.shape[0 if is_gemm and operation.integer("transB", 0) else 1]
    fits = row.size in (1, columns) and (not row.ndim or row.shape[-1] == row.size)
    return (matrix, row) if fits and not (is_gemm and operation.integer("transA", 0)) else None
