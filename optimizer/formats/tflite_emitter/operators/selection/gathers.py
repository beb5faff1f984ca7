"""Picking by index: Gather, GatherElements, GatherND, OneHot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.layout import INSERTED, Axes, Value, plain
from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.selection.bounds import Bounds, write_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering


def lower_gather(operation: Operation, lowering: Lowering) -> None:
    """Write Gather along any axis, in the value's layout.

    Constant indices that go up or down in equal steps, or a single one, are a STRIDED_SLICE; what is left is a GATHER.
    """
    value = lowering.value(operation.input(0))
    axis = operation.integer("axis", 0) % len(value.shape)
    if not lowering.is_constant(operation.input(1)):
        places = lowering.as_plain(lowering.value(operation.input(1)))
        _gather(operation, lowering, lowering.in_order(value), axis=axis, places=places.tensor, rank=len(places.shape))
        return
    indices = lowering.constant(operation, 1).astype(np.int64)
    if axis == value.batch:
        _of_batch(operation, lowering, value, axis=axis, indices=indices)
        return
    indices = np.where(indices < 0, indices + value.shape[axis], indices)
    stored = indices
    if value.columns is not None and axis == 1:
        stored = np.argsort(value.columns)[indices]
        value = Value(tensor=value.tensor, shape=value.shape, axes=value.axes, element=value.element, batch=value.batch)
    value = lowering.in_order(value)
    step = _step(stored)
    if step is not None and len(value.axes) <= 5:
        write_bounds(operation, lowering, value, [_bounds(stored, axis=axis, step=step)])
        return
    _gather(operation, lowering, value, axis=axis, places=lowering.numbers(stored, "indices"), rank=stored.ndim)


def _of_batch(operation: Operation, lowering: Lowering, value: Value, *, axis: int, indices: NDArray[np.int64]) -> None:
    """Write the first or the last row of a free batch."""
    if indices.size != 1 or indices.ndim > 1:
        raise lowering.refusal(operation, "it picks several rows of the batch; export a fixed batch")
    row = int(indices.reshape(-1)[0])
    cut = Bounds(axis=axis, start=row, stop=1 if row == 0 else None, drops=indices.ndim == 0)
    write_bounds(operation, lowering, value, [cut])


def _step(indices: NDArray[np.int64]) -> int | None:
    """Return the step between the indices where it is always the same and no pair is equal; None elsewhere."""
    if indices.ndim > 1 or indices.size == 0:
        return None
    steps = np.unique(np.diff(indices.reshape(-1)))
    if steps.size == 0:
        return 1
    return int(steps[0]) if steps.size == 1 and steps[0] != 0 else None


def _bounds(indices: NDArray[np.int64], *, axis: int, step: int) -> Bounds:
    row = indices.reshape(-1)
    end = int(row[-1]) + (1 if step > 0 else -1)
    return Bounds(axis=axis, start=int(row[0]), stop=None if end < 0 else end, step=step, drops=indices.ndim == 0)


def _gather(operation: Operation, lowering: Lowering, value: Value, *, axis: int, places: int, rank: int) -> None:
    """Write GATHER along a logical axis by indices of that rank."""
    if rank != 1:
        value = lowering.with_axes(value, tuple(kept for kept in value.axes if kept != INSERTED))
    options = lowering.schema.GatherOptionsT()
    options.axis = value.axes.index(axis)
    axes = _grown(value.axes, axis, rank)
    lowering.write(operation, "GATHER", (value.tensor, places), axes=axes, options=options)


def _grown(axes: Axes, axis: int, rank: int) -> Axes:
    """Return the order of axes where one is replaced by ``rank`` others."""
    grown: list[int] = []
    for stored in axes:
        if stored == axis:
            grown += range(axis, axis + rank)
        else:
            grown.append(stored if stored < axis else stored + rank - 1)
    return tuple(grown)


def lower_gather_elements(operation: Operation, lowering: Lowering) -> None:
    """Write GatherElements: by one GATHER of the last axis where the others agree, else by places in the flat row."""
    value = lowering.as_plain(lowering.value(operation.input(0)))
    rank = len(value.shape)
    axis = operation.integer("axis", 0) % rank
    shape = lowering.shape(operation, operation.input(1))
    if axis == value.batch:
        raise lowering.refusal(operation, "it picks along the batch; export a fixed batch")
    places = _element_places(operation, lowering, size=value.shape[axis])
    if axis == rank - 1 and shape[:-1] == value.shape[:-1]:
        options = lowering.schema.GatherOptionsT()
        options.axis = options.batchDims = axis
        lowering.write(operation, "GATHER", (value.tensor, places), axes=plain(rank), options=options)
        return
    kept = 0 if value.batch is None else 1
    if value.batch not in (None, 0) or (kept and shape[0] != value.shape[0]):
        raise lowering.refusal(operation, "its batch is not its first axis; export a fixed batch")
    _gather_flat(operation, lowering, value, places=places, axis=axis, kept=kept)


def _element_places(operation: Operation, lowering: Lowering, *, size: int) -> int:
    """Return the tensor of int32 indices, counted from the start where they are constant."""
    if lowering.is_constant(operation.input(1)):
        given = lowering.constant(operation, 1)
        return lowering.numbers(np.where(given < 0, given + size, given), "indices")
    value = lowering.as_plain(lowering.value(operation.input(1)))
    return from_start(operation, lowering, as_int32(lowering, value), shape=value.shape, sizes=size)


def as_int32(lowering: Lowering, value: Value) -> int:
    """Return the tensor of the value's integers as TFLite's indices are: int32."""
    if value.element == np.int32:
        return value.tensor
    options = lowering.schema.CastOptionsT()
    types = lowering.schema.TensorType
    options.inDataType, options.outDataType = getattr(types, value.element.name.upper()), types.INT32
    return lowering.step(
        "CAST", (value.tensor,), "indices", shape=value.stored_shape, element=np.int32, options=options
    )


def _gather_flat(operation: Operation, lowering: Lowering, value: Value, *, places: int, axis: int, kept: int) -> None:
    """Write the pick as one in the row that is left when all axes but the first ``kept`` are merged."""
    shape = lowering.shape(operation, operation.input(1))
    row, name = int(np.prod(value.shape[kept:])), operation.output
    strides = np.cumprod([1, *value.shape[:kept:-1]])[::-1]
    own = int(strides[axis - kept])
    grid = np.indices(shape[kept:])
    others = sum(
        (grid[place] * strides[place] for place in range(len(strides)) if place != axis - kept),
        start=np.zeros(shape[kept:], dtype=np.int64),
    )
    constants = {
        "MUL": np.asarray(own, dtype=np.int32),
        "ADD": others.reshape((1,) * kept + others.shape).astype(np.int32),
    }
    for code, constant in constants.items():
        options = getattr(lowering.schema, "MulOptionsT" if code == "MUL" else "AddOptionsT")()
        inputs = (places, lowering.writer.add_constant(f"{name}/{code.lower()}", constant))
        places = lowering.step(code, inputs, f"{name}/places", shape=shape, element=np.int32, options=options)
    flat = lowering.reshape_tensor(
        value.tensor,
        (*value.shape[:kept], row),
        f"{name}/row",
        batch=value.batch,
        element=value.element,
    )
    options = lowering.schema.GatherOptionsT()
    options.axis = options.batchDims = kept
    lowering.write(operation, "GATHER", (flat, places), axes=plain(len(shape)), options=options)


def lower_gather_nd(operation: Operation, lowering: Lowering) -> None:
    """Write GatherND as GATHER_ND; with batch axes, as a GATHER in the merged axes that the indices speak of."""
    value = lowering.as_plain(lowering.value(operation.input(0)))
    shape = lowering.shape(operation, operation.input(1))
    kept, depth, rank = operation.integer("batch_dims", 0), shape[-1], len(lowering.result(operation).shape)
    sizes = value.shape[kept : kept + depth]
    if value.batch is not None and value.batch >= kept and value.batch < kept + depth:
        raise lowering.refusal(operation, "it picks along the batch; export a fixed batch")
    if lowering.is_constant(operation.input(1)):
        given = lowering.constant(operation, 1)
        places = lowering.numbers(np.where(given < 0, given + np.asarray(sizes), given), "indices")
    else:
        places = as_int32(lowering, lowering.as_plain(lowering.value(operation.input(1))))
        places = from_start(operation, lowering, places, shape=shape, sizes=sizes)
    if not kept:
        options = lowering.schema.GatherNdOptionsT()
        lowering.write(operation, "GATHER_ND", (value.tensor, places), axes=plain(rank), options=options)
        return
    if value.batch not in (None, 0):
        raise lowering.refusal(operation, "its batch is not its first axis; export a fixed batch")
    merged = (*value.shape[:kept], int(np.prod(sizes)), *value.shape[kept + depth :])
    flat = lowering.reshape_tensor(
        value.tensor, merged, f"{operation.output}/merged", batch=value.batch, element=value.element
    )
    places = _merged_places(operation, lowering, places, shape=shape, sizes=sizes)
    options = lowering.schema.GatherOptionsT()
    options.axis = options.batchDims = kept
    lowering.write(operation, "GATHER", (flat, places), axes=plain(rank), options=options)


def _merged_places(
    operation: Operation, lowering: Lowering, places: int, *, shape: tuple[int, ...], sizes: tuple[int, ...]
) -> int:
    """Append what turns the last axis of indices, one for each merged axis, into one place."""
    strides = np.cumprod([1, *sizes[:0:-1]])[::-1].astype(np.int32)
    factor = lowering.writer.add_constant(f"{operation.output}/strides", strides)
    options: Any = lowering.schema.MulOptionsT()
    name = f"{operation.output}/places"
    parts = lowering.step("MUL", (places, factor), name, shape=shape, element=np.int32, options=options)
    options = lowering.schema.ReducerOptionsT()
    options.keepDims = False
    last = lowering.numbers([len(shape) - 1], "axes")
    return lowering.step("SUM", (parts, last), name, shape=shape[:-1], element=np.int32, options=options)


def lower_one_hot(operation: Operation, lowering: Lowering) -> None:
    """Write OneHot; indices below 0 count from the end, those beyond stay off, as in ONNX."""
    value = lowering.as_plain(lowering.value(operation.input(0)))
    depth = int(lowering.constant(operation, 1).reshape(-1)[0])
    off, on = lowering.constant(operation, 2)
    fact = lowering.result(operation)
    options = lowering.schema.OneHotOptionsT()
    options.axis = operation.integer("axis", -1) % len(fact.shape)
    places = from_start(operation, lowering, as_int32(lowering, value), shape=value.shape, sizes=depth)
    numbers = (np.asarray(depth, dtype=np.int32), *(np.asarray(item, dtype=fact.element) for item in (on, off)))
    constants = [lowering.writer.add_constant(f"{operation.output}/parameter", number) for number in numbers]
    lowering.write(operation, "ONE_HOT", (places, *constants), axes=plain(len(fact.shape)), options=options)


def from_start(
    operation: Operation, lowering: Lowering, places: int, *, shape: tuple[int, ...], sizes: int | tuple[int, ...]
) -> int:
    """Append what adds the size (one for each of the last axis) to int32 indices below 0; return the tensor.

    TFLite does not count from the end, and would find another element by places that were added up.
    """
    name, kind, options = operation.output, np.dtype(np.int32), lowering.schema
    zero, more = (lowering.writer.add_constant(f"{name}/bound", np.asarray(item, dtype=kind)) for item in (0, sizes))
    below = lowering.step(
        "LESS", (places, zero), f"{name}/below", shape=shape, element=np.bool_, options=options.LessOptionsT()
    )
    wrapped = lowering.step(
        "ADD", (places, more), f"{name}/wrapped", shape=shape, element=kind, options=options.AddOptionsT()
    )
    inputs = (below, wrapped, places)
    return lowering.step(
        "SELECT_V2", inputs, f"{name}/places", shape=shape, element=kind, options=options.SelectV2OptionsT()
    )


ENTRIES: Mapping[str, Entry] = {
    "Gather": Entry(
        lower=lower_gather,
        writes=("GATHER", "STRIDED_SLICE"),
        any_layout=True,
        limits="computed indices count from the start",
    ),
    "GatherElements": Entry(lower=lower_gather_elements, writes=("GATHER", "SELECT_V2", "MUL", "ADD")),
    "GatherND": Entry(lower=lower_gather_nd, writes=("GATHER_ND", "GATHER", "SELECT_V2", "SUM")),
    "OneHot": Entry(lower=lower_one_hot, writes=("ONE_HOT", "SELECT_V2"), limits="constant depth and values"),
}
