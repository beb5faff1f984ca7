"""Operators that move, merge, repeat or join axes: they cost nothing where the layout can absorb them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.layout import (
    INSERTED,
    Axes,
    Regrouping,
    Value,
    arranged,
    flattened_columns,
    plain,
    regrouped,
    transposed,
)
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Fact, Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_HIGHEST_RANK_BROADCAST = 6


def lower_transpose(operation: Operation, lowering: Lowering) -> None:
    """Write nothing, where its readers are to move the data: only the account of which axis lies where changes."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    permutation = operation.integers("perm", tuple(reversed(range(len(value.shape)))))
    turned = lowering.at_once(operation, transposed(value, permutation))
    lowering.define(operation, turned.tensor, axes=turned.axes)


def lower_reshape(operation: Operation, lowering: Lowering) -> None:
    """Write Reshape, Flatten, Squeeze and Unsqueeze by the shape that they lead to: one RESHAPE where no data move.

    An image flattened into columns stays as it lies; its columns are counted instead.
    """
    value, fact = lowering.value(operation.input(0)), lowering.result(operation)
    if fact.shape == value.shape and fact.batch == value.batch:
        lowering.define(operation, value.tensor, axes=value.axes, columns=value.columns)
        return
    value = lowering.at_once(operation, lowering.in_order(value))
    at_once = operation.name in lowering.moved or 0 in value.shape
    if at_once:
        value = lowering.as_plain(value)
    way, columns = regrouped(value, fact.shape, batch=fact.batch), None
    if way.moves and not at_once and _is_flattened(value, fact):
        way, columns = Regrouping(before=value.axes, after=plain(2), moves=False), flattened_columns(value)
    value = lowering.with_axes(value, way.before)
    stored = arranged(fact.shape, way.after)
    batch = None if fact.batch is None else way.after.index(fact.batch)
    tensor = value.tensor
    if value.stored_shape != stored or value.stored_batch != batch:
        tensor = lowering.reshape_tensor(tensor, stored, operation.output, batch=batch, element=fact.element)
    lowering.define(operation, tensor, axes=way.after, columns=columns)


def lower_expand(operation: Operation, lowering: Lowering) -> None:
    """Write Expand as BROADCAST_TO; where the batch is free as a product with ones, which states no batch."""
    value, fact = lowering.in_order(lowering.value(operation.input(0))), lowering.result(operation)
    added = len(fact.shape) - len(value.shape)
    if added:
        value = lowering.as_plain(value)
    axes = tuple(range(added)) + tuple(axis + added if axis != INSERTED else INSERTED for axis in value.axes)
    batch = None if value.batch is None else value.batch + added
    shape = (1,) * added + value.shape
    if fact.batch != batch:
        raise lowering.refusal(operation, "it repeats along the batch; export a fixed batch")
    if shape == fact.shape and not added:
        lowering.define(operation, value.tensor, axes=value.axes)
    elif fact.batch is None:
        target = lowering.numbers(arranged(fact.shape, axes), "shape")
        options = lowering.schema.BroadcastToOptionsT()
        lowering.write(operation, "BROADCAST_TO", (value.tensor, target), axes=axes, options=options, version=2)
    else:
        repeats = tuple(size if before == 1 else 1 for before, size in zip(shape, fact.shape, strict=True))
        _multiplied_by_ones(operation, lowering, value=value, shape=arranged(repeats, axes), axes=axes)


def lower_concat(operation: Operation, lowering: Lowering) -> None:
    """Write Concat in the order that most of its inputs lie in; constants are arranged before."""
    fact = lowering.result(operation)
    rank = len(fact.shape)
    axis = operation.integer("axis", 0) % rank
    names = [name for name in operation.inputs if 0 not in lowering.shape(operation, name)]
    repeated = next((name for name in names if lowering.repeats(name) is not None), None)
    if repeated is not None and fact.batch is not None:
        raise lowering.refusal(operation, f"its input {repeated!r} is repeated along the batch; export a fixed batch")
    values = [lowering.value(name) for name in names]
    if len(values) == 1:
        lowering.define(operation, values[0].tensor, axes=values[0].axes, columns=values[0].columns)
        return
    columns = None
    if rank == 2 and axis == 1 and any(value.columns is not None for value in values):
        columns = _joined_columns(values)
        values = [value if value.columns is not None else lowering.as_plain(value) for value in values]
        axes = plain(2)
    else:
        axes = _usual_axes(lowering, names, values)
        values = [lowering.with_axes(value, axes) for value in values]
    options = lowering.schema.ConcatenationOptionsT()
    options.axis = axes.index(axis)
    inputs = [value.tensor for value in values]
    lowering.write(operation, "CONCATENATION", inputs, axes=axes, options=options, columns=columns)


def lower_pad(operation: Operation, lowering: Lowering) -> None:
    """Write Pad: with zeros PAD, another constant PADV2, reflected MIRROR_PAD, edges and wrapped ones by GATHER.

    What it cuts off (negative pads) goes by STRIDED_SLICE.
    """
    value = lowering.in_order(lowering.value(operation.input(0)))
    mode = operation.text("mode", "constant")
    pairs = _pads_by_axis(operation, lowering, len(value.shape))
    if value.batch is not None and pairs[value.batch].any():
        raise lowering.refusal(operation, "it pads the batch; export a fixed batch")
    if mode != "constant" and bool((pairs < 0).any()):
        raise lowering.refusal(operation, f"it cuts (negative pads) and its mode is {mode!r}; cut with Slice before")
    if not pairs.any():
        lowering.define(operation, value.tensor, axes=value.axes)
    elif mode in ("edge", "wrap"):
        _gathered(operation, lowering, value=value, pairs=pairs)
    else:
        _padded(operation, lowering, value=_cut(operation, lowering, value=value, pairs=pairs), pairs=pairs)


def _is_flattened(value: Value, fact: Fact) -> bool:
    """Return whether rows (n, ...) become (n, columns), the rows lying one after another."""
    rows = len(fact.shape) == 2 and len(value.shape) >= 2 and fact.shape[0] == value.shape[0]
    apart = value.axes[0] == 0 or (value.shape[0] == 1 and value.batch is None)
    return rows and apart and value.batch in (0, None) and fact.batch == value.batch


def _multiplied_by_ones(
    operation: Operation, lowering: Lowering, *, value: Value, shape: Sequence[int], axes: Axes
) -> None:
    code, options = "MUL", lowering.schema.MulOptionsT()
    if value.element == np.bool_:
        code, options = "LOGICAL_AND", lowering.schema.LogicalAndOptionsT()
    elif value.element.name not in ("float32", "int32", "int64"):
        raise lowering.refusal(operation, f"it repeats {value.element.name}; export a fixed batch")
    if len(shape) > _HIGHEST_RANK_BROADCAST:
        raise lowering.refusal(operation, f"its result has rank {len(shape)}; up to 6 is written; export a fixed batch")
    ones = lowering.writer.add_constant(f"{operation.output}/ones", np.ones(shape, dtype=value.element))
    lowering.write(operation, code, (value.tensor, ones), axes=axes, options=options)


def _joined_columns(values: Sequence[Value]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return which logical column lies where in flattened rows that are joined."""
    starts = np.cumsum([0, *(value.shape[1] for value in values)])
    columns = [np.arange(value.shape[1]) if value.columns is None else value.columns for value in values]
    return np.concatenate([part + start for part, start in zip(columns, starts[:-1], strict=True)])


def _usual_axes(lowering: Lowering, names: Sequence[str], values: Sequence[Value]) -> Axes:
    """Return the order that most of the computed values lie in; of equally many the first that moves something."""
    computed = [value.axes for name, value in zip(names, values, strict=True) if not lowering.is_constant(name)]
    counts = Counter(computed or [values[0].axes])
    return max(counts, key=lambda axes: (counts[axes], axes != plain(len(axes))))


def _pads_by_axis(
    operation: Operation, lowering: Lowering, rank: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return (before, after) for each logical axis, shape (rank, 2)."""
    given = lowering.constant(operation, 1) if operation.input(1) else np.asarray(operation.integers("pads", ()))
    axes = lowering.constant(operation, 3) % rank if operation.input(3) else np.arange(rank)
    pairs = np.zeros((rank, 2), dtype=np.int64)
    pairs[axes] = np.asarray(given, dtype=np.int64).reshape(2, -1).T
    return pairs


def _cut(
    operation: Operation,
    lowering: Lowering,
    *,
    value: Value,
    pairs: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> Value:
    """Return the value without what negative pads take off, by STRIDED_SLICE; the batch is left whole."""
    cuts = np.minimum(pairs, 0)
    if not cuts.any():
        return value
    shape = tuple(int(size) for size in np.asarray(value.shape) + cuts.sum(axis=1))
    if min(shape) < 1:
        raise lowering.refusal(operation, "it cuts everything off")
    begin = [0 if axis == INSERTED else int(-cuts[axis][0]) for axis in value.axes]
    end = [start + size for start, size in zip(begin, arranged(shape, value.axes), strict=True)]
    options = lowering.schema.StridedSliceOptionsT()
    options.beginMask = options.endMask = 0 if value.stored_batch is None else 1 << value.stored_batch
    inputs = (value.tensor, *(lowering.numbers(part, "bounds") for part in (begin, end, [1] * len(end))))
    stored, element = arranged(shape, value.axes), value.element
    name = f"{operation.output}/cut"
    tensor = lowering.step("STRIDED_SLICE", inputs, name, shape=stored, element=element, options=options)
    return Value(tensor=tensor, shape=shape, axes=value.axes, element=element, batch=value.batch)


def _padded(
    operation: Operation,
    lowering: Lowering,
    *,
    value: Value,
    pairs: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> None:
    """Write what is added around the value."""
    added = np.maximum(pairs, 0)
    if not added.any():
        lowering.define(operation, value.tensor, axes=value.axes)
        return
    stored = np.asarray([(0, 0) if axis == INSERTED else added[axis] for axis in value.axes], dtype=np.int32)
    inputs = [value.tensor, lowering.writer.add_constant("pads", stored)]
    fill = lowering.parameter(operation, 2, "value")
    code, options = "PAD", lowering.schema.PadOptionsT()
    if operation.text("mode", "constant") == "reflect":
        code, options = "MIRROR_PAD", lowering.schema.MirrorPadOptionsT()
    elif fill is not None and fill.any():
        code, options = "PADV2", lowering.schema.PadV2OptionsT()
        filling = fill.reshape(-1)[:1].astype(value.element)
        inputs.append(lowering.writer.add_constant(f"{operation.output}/fill", filling))
    lowering.write(operation, code, inputs, axes=value.axes, options=options)


def _gathered(
    operation: Operation,
    lowering: Lowering,
    *,
    value: Value,
    pairs: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> None:
    """Repeat edges, or go round, axis by axis: GATHER reads each place from where its value comes."""
    around = [axis for axis in range(len(pairs)) if pairs[axis].any()]
    shape, tensor = list(value.shape), value.tensor
    for axis in around:
        size, (before, after) = shape[axis], pairs[axis]
        places = np.arange(-before, size + after)
        places = np.clip(places, 0, size - 1) if operation.text("mode", "") == "edge" else places % size
        shape[axis] = len(places)
        options = lowering.schema.GatherOptionsT()
        options.axis = value.axes.index(axis)
        inputs = (tensor, lowering.numbers(places, "places"))
        if axis == around[-1]:
            lowering.write(operation, "GATHER", inputs, axes=value.axes, options=options)
        else:
            stored = arranged(tuple(shape), value.axes)
            name = f"{operation.output}/{axis}"
            tensor = lowering.step("GATHER", inputs, name, shape=stored, element=value.element, options=options)


ENTRIES: Mapping[str, Entry] = {
    "Concat": Entry(lower=lower_concat, writes=("CONCATENATION",), any_layout=True),
    "Expand": Entry(
        lower=lower_expand, writes=("BROADCAST_TO", "MUL", "LOGICAL_AND"), any_layout=True, limits="not along the batch"
    ),
    "Flatten": Entry(lower=lower_reshape, writes=("RESHAPE",)),
    "Pad": Entry(
        lower=lower_pad,
        writes=("PAD", "PADV2", "MIRROR_PAD", "GATHER", "STRIDED_SLICE"),
        any_layout=True,
        limits="not along the batch; negative pads with constants alone",
    ),
    "Reshape": Entry(lower=lower_reshape, writes=("RESHAPE", "TRANSPOSE")),
    "Squeeze": Entry(lower=lower_reshape, writes=("RESHAPE",)),
    "Transpose": Entry(lower=lower_transpose, writes=("TRANSPOSE",)),
    "Unsqueeze": Entry(lower=lower_reshape, writes=("RESHAPE",)),
}
