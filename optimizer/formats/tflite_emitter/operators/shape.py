"""Operators that move, merge or join axes: they cost nothing where the layout can absorb them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.layout import (
    Axes,
    Value,
    channel_last,
    flattened_columns,
    keeps_order,
    plain,
    transposed,
)
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering


def lower_transpose(operation: Operation, lowering: Lowering) -> None:
    """Write nothing, where its readers are to move the data: only the account of which axis lies where changes."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    permutation = operation.integers("perm", tuple(reversed(range(len(value.shape)))))
    turned = transposed(value, permutation)
    if operation.name in lowering.moved:
        turned = lowering.as_plain(turned)
    lowering.define(operation, turned.tensor, axes=turned.axes)


def lower_reshape(operation: Operation, lowering: Lowering) -> None:
    """Write Reshape, Flatten, Squeeze and Unsqueeze as at most one RESHAPE, by the shape that they lead to.

    An image flattened into columns stays as it lies; its columns are counted instead.
    """
    value = lowering.value(operation.input(0))
    fact = lowering.result(operation)
    if fact.shape == value.shape and fact.batch == value.batch:
        lowering.define(operation, value.tensor, axes=value.axes, columns=value.columns)
        return
    value = lowering.in_order(value)
    if operation.name in lowering.moved or 0 in value.shape:
        value = lowering.as_plain(value)
    way = regrouped(value, fact.shape, batch=fact.batch)
    if way.moves and operation.name not in lowering.moved and _is_flattened(value, fact):
        way = Regrouping(before=value.axes, after=plain(2), moves=False)
        columns = flattened_columns(value)
    else:
        columns = None
    value = lowering.with_axes(value, way.before)
    stored = arranged(fact.shape, way.after)
    batch = None if fact.batch is None else way.after.index(fact.batch)
    tensor = value.tensor
    if value.stored_shape != stored or value.stored_batch != batch:
        tensor = lowering.reshape_tensor(tensor, stored, operation.output, batch=batch, element=fact.element)
    lowering.define(operation, tensor, axes=way.after, columns=columns)


def _is_flattened(value: Value, fact: Fact) -> bool:
    """Return whether rows (n, ...) become (n, columns), the rows lying one after another."""
    rows = len(fact.shape) == 2 and fact.shape[0] == value.shape[0] == value.stored_shape[0]
    return rows and value.axes[0] in (0, INSERTED) and value.batch in (0, None) and fact.batch == value.batch


def lower_concat(operation: Operation, lowering: Lowering) -> None:
    """Write Concat in the layout of the first computed input."""
    rank = len(lowering.shape(operation, operation.output))
    values = [lowering.value(name) for name in operation.inputs]
    axes = next((value.axes for value in values if value.axes != plain(rank)), plain(rank))
    values = [lowering.with_axes(value, axes) for value in values]
    options = lowering.schema.ConcatenationOptionsT()
    options.axis = axes.index(operation.integer("axis", 0) % rank)
    lowering.write(operation, "CONCATENATION", [value.tensor for value in values], axes=axes, options=options)


def lower_pad(operation: Operation, lowering: Lowering) -> None:
    """Write Pad with zeros (PAD), another constant (PADV2), or reflected (MIRROR_PAD)."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    mode = operation.text("mode", "constant")
    if mode not in ("constant", "reflect"):
        raise lowering.refusal(operation, f"its mode is {mode!r}; 'constant' and 'reflect' are written")
    pairs = _pads_by_axis(operation, lowering, len(value.shape))
    if bool((pairs < 0).any()):
        raise lowering.refusal(operation, "it cuts (negative pads)")
    stored = np.asarray([(0, 0) if axis < 0 else pairs[axis] for axis in value.axes], dtype=np.int32)
    inputs = [value.tensor, lowering.writer.add_constant("pads", stored)]
    fill = (
        float(lowering.constant(operation, 2).reshape(-1)[0]) if operation.input(2) else operation.number("value", 0.0)
    )
    code, options = "PAD", lowering.schema.PadOptionsT()
    if mode == "reflect":
        code, options = "MIRROR_PAD", lowering.schema.MirrorPadOptionsT()
    elif fill:
        code, options = "PADV2", lowering.schema.PadV2OptionsT()
        inputs.append(lowering.writer.add_constant(f"{operation.output}/fill", np.asarray([fill], dtype=np.float32)))
    lowering.write(operation, code, inputs, axes=value.axes, options=options)


def _pads_by_axis(
    operation: Operation, lowering: Lowering, rank: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return (before, after) for each logical axis, shape (rank, 2)."""
    given = lowering.constant(operation, 1) if operation.input(1) else np.asarray(operation.integers("pads", ()))
    axes = lowering.constant(operation, 3) % rank if operation.input(3) else np.arange(rank)
    pairs = np.zeros((rank, 2), dtype=np.int64)
    pairs[axes] = np.asarray(given, dtype=np.int64).reshape(2, -1).T
    return pairs


ENTRIES: Mapping[str, Entry] = {
    "Concat": Entry(lower=lower_concat, writes=("CONCATENATION",), any_layout=True),
    "Flatten": Entry(lower=lower_reshape, writes=("RESHAPE",)),
    "Pad": Entry(
        lower=lower_pad, writes=("PAD", "PADV2", "MIRROR_PAD"), any_layout=True, limits="pads that do not cut"
    ),
    "Reshape": Entry(lower=lower_reshape, writes=("RESHAPE",)),
    "Squeeze": Entry(lower=lower_reshape, writes=("RESHAPE",)),
    "Transpose": Entry(lower=lower_transpose, writes=("TRANSPOSE",), limits=""),
    "Unsqueeze": Entry(lower=lower_reshape, writes=("RESHAPE",)),
}
