"""Laying several values out in one order of axes, so that TFLite broadcasts them as ONNX does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
        computed = {place: _raised(lowering.in_order(value), len(shape)) for place, value in computed.items()}
    axes = _least_moved(list(computed.values()), len(shape))
    if len(axes) > _MOST_AXES:
        raise lowering.refusal(operation, f"its result has {len(axes)} axes; {_MOST_AXES} can be broadcast")
    sides = [
        _placed(lowering, computed[place], axes)
        if place in computed
        else _constant(operation, lowering, place, axes=axes, columns=columns)
        for place in range(len(operation.inputs))
    ]
    tensors, shapes = zip(*sides, strict=True)
    return Aligned(tensors=tensors, shapes=shapes, axes=axes, columns=columns)


def _shared_columns(values: Sequence[Value], shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    """Return the columns of the flattened rows among the values, where every other value can follow them."""
    flattened = [value for value in values if value.columns is not None]
    if not flattened or any(value.shape != shape for value in flattened):
        return None
    columns = flattened[0].columns
    same = all(np.array_equal(value.columns, columns) for value in flattened[1:] if value.columns is not None)
    others = all(len(value.shape) == 2 and value.shape[1] == 1 for value in values if value.columns is None)
    return columns if same and others else None


def _raised(value: Value, rank: int) -> Value:
    """Return the value with axes of size 1 before its own, as broadcasting means it; its tensor is untouched."""
    added = rank - len(value.shape)
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


def _placed(lowering: Lowering, value: Value, axes: Axes) -> tuple[int, tuple[int, ...]]:
    """Return tensor and shape of a raised value in that order of axes."""
    if value.axes == axes:
        return value.tensor, value.stored_shape
    if not keeps_order(value.shape, value.axes, axes, batch=value.batch):
        tensor = lowering.reshape_tensor(
            value.tensor, value.stored_shape, "raised", batch=value.stored_batch, element=value.element
        )
        value = replace(value, tensor=tensor) if value.axes[0] != 0 or value.shape[0] == 1 else value
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


def scalar(lowering: Lowering, number: float, *, element: np.dtype[Any], rank: int) -> int:
    """Return the tensor of one number, to be broadcast over a value of that rank."""
    array = np.asarray(number, dtype=np.float32 if element.kind == "f" else element)
    return lowering.writer.add_constant("number", array if rank == 0 else array.reshape(1))
