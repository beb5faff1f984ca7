"""Writing by index: ScatterND, ScatterElements.

Constant indices are no scatter at all: each element of the result is known to come from the data or from the updates,
so both are laid side by side in one row and picked from. Computed indices need SCATTER_ND, which adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.layout import Value, plain
from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.selection.gathers import as_int32, from_start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering


def lower_scatter_nd(operation: Operation, lowering: Lowering) -> None:
    """Write ScatterND by constant indices, or by computed ones where it adds or their places are all different."""
    data = _data(operation, lowering)
    if lowering.is_constant(operation.input(1)):
        indices = lowering.constant(operation, 1)
        sizes = np.asarray(data.shape[: indices.shape[-1]])
        counted = np.where(indices < 0, indices + sizes, indices)
        kept = data.shape[indices.shape[-1] :]
        first = np.ravel_multi_index(tuple(np.moveaxis(counted, -1, 0)), tuple(sizes)) * int(np.prod(kept))
        targets = first[..., np.newaxis] + np.arange(int(np.prod(kept)))
        _replace(operation, lowering, data, targets=targets.reshape(-1))
        return
    indices_value = lowering.as_plain(lowering.value(operation.input(1)))
    shape = indices_value.shape
    places = as_int32(lowering, indices_value)
    places = from_start(operation, lowering, places, shape=shape, sizes=data.shape[: shape[-1]])
    _scatter(operation, lowering, data, places=places, updates=_updates(operation, lowering).tensor)


def lower_scatter_elements(operation: Operation, lowering: Lowering) -> None:
    """Write ScatterElements by constant indices."""
    data = _data(operation, lowering)
    axis = operation.integer("axis", 0) % len(data.shape)
    indices = lowering.constant(operation, 1)
    grid: list[NDArray[Any]] = list(np.indices(indices.shape))
    grid[axis] = np.where(indices < 0, indices + data.shape[axis], indices)
    _replace(operation, lowering, data, targets=np.ravel_multi_index(tuple(grid), data.shape).reshape(-1))


def _data(operation: Operation, lowering: Lowering) -> Value:
    """Return the data, of a fixed size, in ONNX's order."""
    data = lowering.as_plain(lowering.value(operation.input(0)))
    if data.batch is not None or lowering.result(operation).batch is not None:
        raise lowering.refusal(operation, "its indices name rows of a free batch; export a fixed batch")
    return data


def _updates(operation: Operation, lowering: Lowering) -> Value:
    return lowering.as_plain(lowering.value(operation.input(2)))


def _replace(operation: Operation, lowering: Lowering, data: Value, *, targets: NDArray[np.int64]) -> None:
    """Write the data with the updates at those places of the flat row: RESHAPE, CONCATENATION, GATHER, RESHAPE."""
    reduction = operation.text("reduction", "none")
    if reduction != "none" or np.unique(targets).size != targets.size:
        what = f"reduction {reduction!r}" if reduction != "none" else "indices that name a place twice"
        raise lowering.refusal(operation, f"it has {what}; with constant indices, each place once, it is written")
    size, name = int(np.prod(data.shape)), operation.output
    chosen = np.arange(size)
    chosen[targets] = size + np.arange(targets.size)
    rows = [
        lowering.reshape_tensor(value.tensor, (length,), f"{name}/row", batch=None, element=data.element)
        for value, length in ((data, size), (_updates(operation, lowering), targets.size))
    ]
    joined: Any = lowering.schema.ConcatenationOptionsT()
    joined.axis = 0
    both = lowering.step(
        "CONCATENATION", rows, f"{name}/both", shape=(size + targets.size,), element=data.element, options=joined
    )
    picked: Any = lowering.schema.GatherOptionsT()
    picked.axis = 0
    inputs = (both, lowering.numbers(chosen, "chosen"))
    row = lowering.step("GATHER", inputs, f"{name}/chosen", shape=(size,), element=data.element, options=picked)
    tensor = lowering.reshape_tensor(row, data.shape, name, batch=None, element=data.element)
    lowering.define(operation, tensor, axes=plain(len(data.shape)))


def _scatter(operation: Operation, lowering: Lowering, data: Value, *, places: int, updates: int) -> None:
    """Write the sum with SCATTER_ND of the updates."""
    reduction, name = operation.text("reduction", "none"), operation.output
    if reduction != "add" or data.element != np.float32:
        reason = f"it has computed indices and reduction {reduction!r} on {data.element}"
        raise lowering.refusal(operation, f"{reason}; constant indices, or 'add' on floats, are written")
    inputs = (places, updates, lowering.numbers(data.shape, "shape"))
    options = lowering.schema.ScatterNdOptionsT()
    spread = lowering.step("SCATTER_ND", inputs, f"{name}/spread", shape=data.shape, options=options)
    axes = plain(len(data.shape))
    lowering.write(operation, "ADD", (data.tensor, spread), axes=axes, options=lowering.schema.AddOptionsT())


ENTRIES: Mapping[str, Entry] = {
    "ScatterElements": Entry(
        lower=lower_scatter_elements,
        writes=("CONCATENATION", "GATHER"),
        limits="fixed batch; constant indices; no reduction",
    ),
    "ScatterND": Entry(
        lower=lower_scatter_nd,
        writes=("CONCATENATION", "GATHER", "SCATTER_ND"),
        limits="fixed batch; constant indices without reduction, or computed ones that add",
    ),
}
