"""Laying several values out in one order of axes, so that TFLite broadcasts them as ONNX does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.layout import INSERTED, Axes, Value, arrange, arranged, keeps_order, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_MOST_AXES = 8
"""The rank up to which TFLite's kernels broadcast."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aligned:
    """The inputs of one operation as tensors whose axes, counted from the last, lie over each other.

    ``shapes`` are the tensors' own; ``axes`` and ``columns`` say how the result lies.
    """

    tensors: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    axes: Axes
    columns: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result's tensor."""
        return np.broadcast_shapes(*self.shapes)


def aligned(operation: Operation, lowering: Lowering) -> Aligned:
    """Return the operation's inputs in the order of axes that moves the least data; constants follow the others.

    Raises:
        UnsupportedOperator: an input depends on the batch, or the result has more axes than TFLite broadcasts.
    """
    shape = lowering.result(operation).shape
    computed = {
        place: lowering.value(name) for place, name in enumerate(operation.inputs) if not lowering.is_constant(name)
    }
    columns = _shared_columns(list(computed.values()), shape)
    if columns is None:
        computed = {place: lowering.in_order(value) for place, value in computed.items()}
    raised = {place: _raised(value, len(shape)) for place, value in computed.items()}
    axes = _least_moved(list(raised.values()), len(shape))
    if len(axes) > _MOST_AXES:
        raise lowering.refusal(operation, f"its result has {len(axes)} axes; {_MOST_AXES} can be broadcast")
    sides = [
        _placed(lowering, raised[place], axes, is_raised=raised[place] is not computed[place])
        if place in computed
        else _constant(operation, lowering, place, axes=axes, columns=columns)
        for place in range(len(operation.inputs))
    ]
    tensors, shapes = zip(*sides, strict=True)
    return Aligned(tensors=tensors, shapes=shapes, axes=axes, columns=columns)


def _shared_columns(values: Sequence[Value], shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    """Return the columns of the flattened rows among the values, where every other value can follow them."""
    columns = [value.columns for value in values if value.columns is not None]
    if not columns:
        return None
    same = all(np.array_equal(other, columns[0]) for other in columns[1:])
    whole = all(value.shape == shape for value in values if value.columns is not None)
    others = all(len(value.shape) == 2 and value.shape[1] == 1 for value in values if value.columns is None)
    return columns[0] if same and whole and others else None


def _raised(value: Value, rank: int) -> Value:
    """Return the value with axes of size 1 before its own, as broadcasting means it; its tensor is untouched."""
    added = rank - len(value.shape)
    if not added:
        return value
    axes = tuple(axis if axis == INSERTED else axis + added for axis in value.axes)
    return replace(
        value,
        shape=(1,) * added + value.shape,
        axes=(*range(added), *axes),
        batch=None if value.batch is None else value.batch + added,
    )


def _least_moved(values: Sequence[Value], rank: int) -> Axes:
    """Return the order in which the least data is moved; among equals what is not plain wins."""
    candidates = sorted({value.axes for value in values} | {plain(rank)}, key=lambda axes: (axes == plain(rank), axes))
    return min(candidates, key=lambda axes: _effort(values, axes))


def _effort(values: Sequence[Value], axes: Axes) -> tuple[int, int]:
    """Return how many elements are moved by TRANSPOSE, and how many values only get another shape."""
    reshaped = [value for value in values if value.axes != axes]
    moved = [value for value in reshaped if not keeps_order(value.shape, value.axes, axes, batch=value.batch)]
    return sum(int(np.prod(value.shape)) for value in moved), len(reshaped)


def _placed(lowering: Lowering, value: Value, axes: Axes, *, is_raised: bool) -> tuple[int, tuple[int, ...]]:
    """Return tensor and shape of a value in that order of axes; a raised one's tensor still lacks its first axes."""
    if value.axes == axes:
        return value.tensor, value.stored_shape
    if is_raised and not keeps_order(value.shape, value.axes, axes, batch=value.batch):
        shape, batch = value.stored_shape, value.stored_batch
        tensor = lowering.reshape_tensor(value.tensor, shape, "raised", batch=batch, element=value.element)
        value = replace(value, tensor=tensor)
    return lowering.with_axes(value, axes).tensor, arranged(value.shape, axes)


def _constant(
    operation: Operation, lowering: Lowering, place: int, *, axes: Axes, columns: NDArray[np.int64] | None
) -> tuple[int, tuple[int, ...]]:
    """Return tensor and shape of a constant in that order of axes."""
    array = lowering.constant(operation, place)
    rank = len(lowering.result(operation).shape)
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if columns is not None and full.shape[1] > 1:
        full = full[:, columns]
    stored = arrange(full, axes)
    stored = stored.astype(np.float32) if stored.dtype.kind == "f" else stored
    return lowering.writer.add_constant(f"{operation.output}/constant", stored), stored.shape
