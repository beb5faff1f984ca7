"""Products with a constant matrix: Gemm and MatMul as FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.layout import plain
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_KEEPS_RANK_VERSION = 5


def lower_gemm(operation: Operation, lowering: Lowering) -> None:
    """Write alpha x A x B + beta x C with constant B and a constant row C."""
    if operation.integer("transA", 0):
        raise lowering.refusal(operation, "it transposes its first input; only its second may be transposed")
    matrix = lowering.constant(operation, 1).astype(np.float64) * operation.number("alpha", 1.0)
    weights = matrix if operation.integer("transB", 0) else matrix.T
    row = np.zeros(1)
    if operation.input(2):
        row = lowering.constant(operation, 2).astype(np.float64) * operation.number("beta", 1.0)
    if row.size not in (1, len(weights)) or row.shape[-1:] not in ((), (1,), (len(weights),)):
        raise lowering.refusal(operation, f"its third input has shape {row.shape}; one row is written")
    _fully_connected(operation, lowering, weights=weights, bias=np.broadcast_to(row.reshape(-1), (len(weights),)))


def lower_matmul(operation: Operation, lowering: Lowering) -> None:
    """Write A x B with constant B of rank 2, and the bias that fusion added as a third input."""
    matrix = lowering.constant(operation, 1)
    if matrix.ndim != 2:
        raise lowering.refusal(operation, f"its second input has rank {matrix.ndim}; a matrix is written")
    bias = lowering.constant(operation, 2) if operation.input(2) else np.zeros(matrix.shape[1])
    _fully_connected(operation, lowering, weights=matrix.T, bias=bias)


def _fully_connected(operation: Operation, lowering: Lowering, *, weights: NDArray[Any], bias: NDArray[Any]) -> None:
    """Append FULLY_CONNECTED; weights have shape (out, in), in ONNX's order of columns."""
    value = lowering.value(operation.input(0))
    if value.columns is None:
        value = lowering.as_plain(value)
    else:
        weights = weights[:, value.columns]
    if len(value.shape) < 2:
        raise lowering.refusal(operation, "its first input has rank 1; give it a batch")
    options = lowering.schema.FullyConnectedOptionsT()
    options.keepNumDims = len(value.shape) > 2
    options.fusedActivationFunction = operation.activation.value
    inputs = (
        value.tensor,
        lowering.writer.add_constant(f"{operation.output}/weights", weights.astype(np.float32)),
        lowering.writer.add_constant(f"{operation.output}/bias", bias.astype(np.float32)),
    )
    version = _KEEPS_RANK_VERSION if options.keepNumDims else 1
    lowering.write(operation, "FULLY_CONNECTED", inputs, axes=plain(len(value.shape)), options=options, version=version)


ENTRIES: Mapping[str, Entry] = {
    "Gemm": Entry(lower=lower_gemm, writes=("FULLY_CONNECTED",), limits="constant matrix, one row as the third input"),
    "MatMul": Entry(lower=lower_matmul, writes=("FULLY_CONNECTED",), limits="constant matrix"),
}
