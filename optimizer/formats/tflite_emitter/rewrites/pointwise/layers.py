"""Layers that take a factor and an offset a channel into their own constants: convolutions and products."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation, Operation
from optimizer.formats.tflite_emitter.rewrites.linear import linear_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.rewrites.editing import Editing

_LARGEST_OFFSET: Final = 8.0
"""An offset before a layer goes into it up to this size: a larger one would cancel against the sums of the layer."""


def scaled_after(
    editing: Editing, layer: Operation, scale: NDArray[Any], shift: NDArray[Any], *, output: str
) -> Operation | None:
    """Return the convolution with what follows it channel by channel inside it; None where that can't be."""
    fact, kernel = editing.fact(layer.output), editing.constant(layer.input(1))
    bias = editing.constant(layer.input(2)) if layer.input(2) else np.zeros(1)
    if layer.op not in ("Conv", "ConvTranspose") or layer.activation is not Activation.NONE:
        return None
    if fact is None or kernel is None or bias is None:
        return None
    channels = fact.shape[1]
    factors, offsets = (along(array, 1, rank=len(fact.shape), size=channels) for array in (scale, shift))
    if factors is None or offsets is None:
        return None
    groups = layer.integer("group", 1)
    if layer.op == "Conv":
        weights = kernel * factors.reshape(-1, *(1,) * (kernel.ndim - 1))
    else:
        parts = kernel.reshape(groups, -1, *kernel.shape[1:])
        spatial = (1,) * (kernel.ndim - 2)
        weights = (parts * factors.reshape(groups, 1, -1, *spatial)).reshape(kernel.shape)
    row = np.broadcast_to(bias, (channels,)) * factors + offsets
    return _convolution(editing, layer, weights, row, output=output)


def scaled_before(editing: Editing, layer: Operation, scale: NDArray[Any], shift: NDArray[Any]) -> Operation | None:
    """Return the layer with what comes before it channel by channel inside it; None where that can't be.

    Its input is still the old one: the caller names the new.
    """
    fact = editing.fact(layer.input(0))
    if fact is None or not np.abs(shift).max(initial=0.0) <= _LARGEST_OFFSET:
        return None
    if layer.op == "Conv":
        return _convolution_scaled_before(editing, layer, scale, shift)
    linear = linear_of(editing, layer)
    if linear is None or (layer.op == "Gemm" and len(fact.shape) != 2):
        return None
    size, rank = len(linear.weights), len(fact.shape)
    factors, offsets = (along(array, rank - 1, rank=rank, size=size) for array in (scale, shift))
    if factors is None or offsets is None:
        return None
    row = linear.row + offsets @ linear.weights
    changed = dataclasses.replace(linear, weights=linear.weights * factors[:, np.newaxis], row=row)
    return changed.written(editing, layer.output, name=layer.name, activation=layer.activation)


def along(array: NDArray[Any], axis: int, *, rank: int, size: int) -> NDArray[Any] | None:
    """Return the numbers along one axis of what broadcasts over that rank; None where other axes have their own."""
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if any(length > 1 for place, length in enumerate(full.shape) if place != axis):
        return None
    return np.broadcast_to(full.reshape(-1), (size,))


def _convolution_scaled_before(
    editing: Editing, layer: Operation, scale: NDArray[Any], shift: NDArray[Any]
) -> Operation | None:
    kernel = editing.constant(layer.input(1))
    bias = editing.constant(layer.input(2)) if layer.input(2) else np.zeros(1)
    if kernel is None or bias is None or (shift.any() and _is_padded(layer)):
        return None
    groups = layer.integer("group", 1)
    factors, offsets = (along(array, 1, rank=kernel.ndim, size=groups * kernel.shape[1]) for array in (scale, shift))
    if factors is None or offsets is None:
        return None
    by_group = (groups, 1, kernel.shape[1], *(1,) * (kernel.ndim - 2))
    parts = kernel.astype(np.float64).reshape(groups, -1, *kernel.shape[1:])
    moved = (parts * offsets.reshape(by_group)).sum(axis=tuple(range(2, parts.ndim))).reshape(-1)
    weights = (parts * factors.reshape(by_group)).reshape(kernel.shape)
    return _convolution(editing, layer, weights, bias + moved, output=layer.output)


def _is_padded(layer: Operation) -> bool:
    return any(layer.integers("pads", ())) or layer.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID")


def _convolution(
    editing: Editing, layer: Operation, weights: NDArray[Any], row: NDArray[Any], *, output: str
) -> Operation:
    """Return the layer with other constants."""
    names = (
        editing.put_constant(f"{output}/kernel", np.asarray(weights, dtype=np.float64)),
        editing.put_constant(f"{output}/bias", np.asarray(row, dtype=np.float64)),
    )
    return dataclasses.replace(layer, inputs=(layer.input(0), *names), outputs=(output,))
