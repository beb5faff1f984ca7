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
    """Write Reshape, Flatten, Squeeze and Unsqueeze as at most one RESHAPE, by the shape that they lead to."""
    value = lowering.value(operation.input(0))
    shape = lowering.shape(operation, operation.output)
    if shape == value.shape:
        lowering.define(operation, value.tensor, axes=value.axes, columns=value.columns)
        return
    in_place = keeps_order(value.shape, value.axes, plain(len(value.shape)), batch=value.batch)
    if value.columns is None and not in_place:
        done = _merged(operation, lowering, value=value, shape=shape)
    else:
        done = _reshaped(operation, lowering, value=lowering.in_order(value), shape=shape)
    lowering.define(operation, done.tensor, axes=done.axes, columns=done.columns)


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


def _merged(operation: Operation, lowering: Lowering, *, value: Value, shape: tuple[int, ...]) -> Value:
    """Reshape a value whose data do not lie in ONNX's order, moving nothing where that can be."""
    relabelled = _relabelled(value, shape)
    if relabelled is not None:
        return _at(operation, lowering, value=value, axes=relabelled)
    batch_kept = len(shape) >= 2 and shape[0] == value.shape[0] == value.stored_shape[0]
    if batch_kept and len(shape) == 2:
        return replace(_at(operation, lowering, value=value, axes=plain(2)), columns=flattened_columns(value))
    spatial_merged = value.shape[:2] == shape[:2] and len(shape) == 3 and value.axes == channel_last(4)
    if batch_kept and spatial_merged:
        return _at(operation, lowering, value=value, axes=(0, 2, 1))
    return _reshaped(operation, lowering, value=lowering.as_plain(value), shape=shape)


def _relabelled(value: Value, shape: tuple[int, ...]) -> Axes | None:
    """Return an order of axes for a reshape that only adds or drops axes of size 1; None where there is none."""
    old = [axis for axis, size in enumerate(value.shape) if size > 1]
    new = [axis for axis, size in enumerate(shape) if size > 1]
    if [value.shape[axis] for axis in old] != [shape[axis] for axis in new]:
        return None
    named = dict(zip(old, new, strict=True))
    stored = [named[axis] for axis in value.axes if axis in named]
    rank = len(shape)
    candidates = (channel_last(rank), plain(rank)) if rank in (3, 4) else (plain(rank),)
    return next((axes for axes in candidates if [axis for axis in axes if axis in new] == stored), None)


def _reshaped(operation: Operation, lowering: Lowering, *, value: Value, shape: tuple[int, ...]) -> Value:
    """Reshape data that lie in ONNX's order; one pixel a channel may as well be channel-last at once."""
    one_pixel = len(shape) == 4 and shape[2:] == (1, 1)
    axes = channel_last(4) if one_pixel else plain(len(shape))
    return _at(operation, lowering, value=value, axes=axes)


def _at(operation: Operation, lowering: Lowering, *, value: Value, axes: Axes) -> Value:
    """Return the operation's result, whose axes lie in that order, in the value's own data: by RESHAPE, or as it is."""
    fact = lowering.result(operation)
    done = Value(tensor=value.tensor, shape=fact.shape, axes=axes, element=fact.element, batch=fact.batch)
    if value.stored_shape == done.stored_shape and value.stored_batch == done.stored_batch:
        return done
    tensor = lowering.reshape_tensor(
        value.tensor, done.stored_shape, operation.output, batch=done.stored_batch, element=fact.element
    )
    return replace(done, tensor=tensor)


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
