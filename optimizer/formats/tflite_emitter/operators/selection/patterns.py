"""Repeating and masking by a pattern that is known: Tile, Trilu, EyeLike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.layout import INSERTED, arrange, plain
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_TILED = frozenset({"float32", "int32", "int64", "bool", "uint8", "int8"})


def lower_tile(operation: Operation, lowering: Lowering) -> None:
    """Write Tile with constant repeats, in the value's layout."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    if value.element.name not in _TILED:
        raise lowering.refusal(operation, f"it repeats {value.element}; cast it before")
    repeats = lowering.constant(operation, 1).tolist()
    if all(count == 1 for count in repeats):
        lowering.define(operation, value.tensor, axes=value.axes)
        return
    if 0 in repeats:
        raise lowering.refusal(operation, "its result is empty; take it out of the model")
    stored = lowering.numbers([1 if axis == INSERTED else repeats[axis] for axis in value.axes], "repeats")
    options = lowering.schema.TileOptionsT()
    lowering.write(operation, "TILE", (value.tensor, stored), axes=value.axes, options=options)


def lower_triangle(operation: Operation, lowering: Lowering) -> None:
    """Write Trilu as the choice between the value and 0 by a constant mask."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    rank = len(value.shape)
    if value.batch is not None and value.batch >= rank - 2:
        raise lowering.refusal(operation, "one of its last two axes is the batch; export a fixed batch")
    offset = int(lowering.constant(operation, 1).reshape(-1)[0]) if operation.input(1) else 0
    rows, columns = np.indices(value.shape[-2:])
    kept = columns - rows >= offset if operation.integer("upper", 1) else columns - rows <= offset
    mask = arrange(kept.reshape((1,) * (rank - 2) + kept.shape), value.axes)
    name = operation.output
    inputs = (
        lowering.writer.add_constant(f"{name}/mask", mask),
        value.tensor,
        lowering.writer.add_constant(f"{name}/zero", np.zeros((1,) * mask.ndim, dtype=value.element)),
    )
    options = lowering.schema.SelectV2OptionsT()
    lowering.write(operation, "SELECT_V2", inputs, axes=value.axes, options=options)


def lower_eye(operation: Operation, lowering: Lowering) -> None:
    """Write EyeLike, which reads the shape of its input alone, as a constant."""
    fact = lowering.result(operation)
    if lowering.fact(operation, operation.input(0)).batch is not None:
        raise lowering.refusal(operation, "its size depends on the batch; export a fixed batch")
    rows, columns = fact.shape
    eye = np.eye(rows, columns, k=operation.integer("k", 0), dtype=fact.element)
    tensor = lowering.writer.add_constant(operation.output, eye)
    lowering.define(operation, tensor, axes=plain(2))


ENTRIES: Mapping[str, Entry] = {
    "EyeLike": Entry(lower=lower_eye, writes=(), limits="fixed sizes"),
    "Tile": Entry(lower=lower_tile, writes=("TILE",), any_layout=True, limits="constant repeats"),
    "Trilu": Entry(lower=lower_triangle, writes=("SELECT_V2",), any_layout=True, limits="constant diagonal"),
}
