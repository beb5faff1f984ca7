"""Operators that move, merge or join axes: they cost nothing where the layout can absorb them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.layout import (
    Axes,
    Value,
    arranged,
    channel_last,
    flattened_columns,
    keeps_order,
    plain,
    transposed,
)

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.lowering import Lowering
    from optimizer.formats.tflite_emitter.onnx_graph import Operation


def lower_transpose(operation: Operation, lowering: Lowering) -> None:
    """Write nothing: only the account of which axis lies where changes."""
    value = lowering.value(operation.input(0))
    if value.columns is not None:
        value = lowering.as_plain(value)
    permutation = operation.integers("perm", tuple(reversed(range(len(value.shape)))))
    lowering.define(operation, transposed(value, permutation))


def lower_reshape(operation: Operation, lowering: Lowering) -> None:
    """Write Reshape, Flatten, Squeeze and Unsqueeze as at most one RESHAPE, by the shape that they lead to."""
    value = lowering.value(operation.input(0))
    shape = lowering.shape(operation, operation.output)
    if shape == value.shape:
        lowering.define(operation, value)
    elif value.columns is None and not keeps_order(value.shape, value.axes, plain(len(value.shape))):
        lowering.define(operation, _merged(operation, lowering, value=value, shape=shape))
    else:
        value = value if value.columns is None else lowering.as_plain(value)
        lowering.define(operation, _reshaped(operation, lowering, value=value, shape=shape))


def lower_concat(operation: Operation, lowering: Lowering) -> None:
    """Write Concat in the layout of the first computed input."""
    rank = len(lowering.shape(operation, operation.output))
    values = [lowering.value(name) for name in operation.inputs]
    axes = next((value.axes for value in values if value.axes != plain(rank)), plain(rank))
    values = [lowering.with_axes(value, axes) for value in values]
    options = lowering.schema.ConcatenationOptionsT()
    options.axis = axes.index(operation.integer("axis", 0) % rank)
    shape = lowering.shape(operation, operation.output)
    tensors = [value.tensor for value in values]
    tensor = lowering.compute("CONCATENATION", tensors, operation.output, stored=arranged(shape, axes), options=options)
    lowering.define(operation, Value(tensor=tensor, shape=shape, axes=axes))


def lower_pad(operation: Operation, lowering: Lowering) -> None:
    """Write Pad with zeros (PAD), another constant (PADV2), or reflected (MIRROR_PAD)."""
    value = lowering.value(operation.input(0))
    if value.columns is not None:
        value = lowering.as_plain(value)
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
    shape = lowering.shape(operation, operation.output)
    tensor = lowering.compute(code, inputs, operation.output, stored=arranged(shape, value.axes), options=options)
    lowering.define(operation, Value(tensor=tensor, shape=shape, axes=value.axes))


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
        stored = arranged(shape, relabelled)
        same = value.stored_shape == stored
        tensor = value.tensor if same else lowering.reshape_tensor(value.tensor, stored, operation.output)
        return Value(tensor=tensor, shape=shape, axes=relabelled)
    batch_kept = len(shape) >= 2 and shape[0] == value.shape[0] == value.stored_shape[0]
    if batch_kept and len(shape) == 2:
        tensor = lowering.reshape_tensor(value.tensor, shape, operation.output)
        return Value(tensor=tensor, shape=shape, axes=plain(2), columns=flattened_columns(value))
    spatial_merged = value.shape[:2] == shape[:2] and len(shape) == 3 and value.axes == channel_last(4)
    if batch_kept and spatial_merged:
        tensor = lowering.reshape_tensor(value.tensor, (shape[0], shape[2], shape[1]), operation.output)
        return Value(tensor=tensor, shape=shape, axes=(0, 2, 1))
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
    stored = arranged(shape, axes)
    if value.stored_shape == stored:
        return Value(tensor=value.tensor, shape=shape, axes=axes)
    tensor = lowering.reshape_tensor(value.tensor, stored, operation.output)
    return Value(tensor=tensor, shape=shape, axes=axes)
