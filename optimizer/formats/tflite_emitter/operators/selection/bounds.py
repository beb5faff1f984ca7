"""Cutting along axes: Slice, Split, CenterCropPad, and whoever else needs a part between bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.layout import INSERTED, Axes, Value, arranged
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_HIGHEST_RANK = 5
_SPLITS = frozenset({"float32", "int32", "int8", "uint8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Which elements of a logical axis are kept, as in ``[start:stop:step]`` of Python; ``drops`` it altogether.

    A stop of None goes to the end, in the step's direction.
    """

    axis: int
    start: int
    stop: int | None
    step: int = 1
    drops: bool = False


def write_bounds(
    operation: Operation, lowering: Lowering, value: Value, cuts: Sequence[Bounds], place: int = 0
) -> None:
    """Write one of the operation's outputs as that part of the value, in its layout: one STRIDED_SLICE, or nothing."""
    value = lowering.in_order(value)
    if not cuts:
        lowering.define(operation, value.tensor, axes=value.axes, place=place)
        return
    if len(value.axes) > _HIGHEST_RANK:
        bare = tuple(axis for axis in value.axes if axis != INSERTED)
        value = lowering.with_axes(value, bare)
    if len(value.axes) > _HIGHEST_RANK:
        raise lowering.refusal(operation, f"its input has rank {len(value.axes)}; up to {_HIGHEST_RANK} can be cut")
    dropped = {cut.axis for cut in cuts if cut.drops}
    inputs, options = _strided(lowering, value, {cut.axis: cut for cut in cuts})
    axes = _without(value.axes, dropped)
    fact = lowering.result(operation, place)
    shape, name = arranged(fact.shape, axes), operation.outputs[place]
    tensor = lowering.step("STRIDED_SLICE", inputs, name, shape=shape, element=fact.element, options=options)
    lowering.define(operation, tensor, axes=axes, place=place)


def _strided(lowering: Lowering, value: Value, cuts: Mapping[int, Bounds]) -> tuple[tuple[int, ...], Any]:
    """Return inputs and options of STRIDED_SLICE; what is not cut is left open by masks."""
    options = lowering.schema.StridedSliceOptionsT()
    options.beginMask = options.endMask = options.shrinkAxisMask = 0
    numbers = []
    drops = any(cut.drops for cut in cuts.values())
    for place, axis in enumerate(value.axes):
        cut = cuts.get(axis)
        if cut is None:
            options.beginMask |= 0 if axis == INSERTED and drops else 1 << place
            options.endMask |= 0 if axis == INSERTED and drops else 1 << place
            numbers.append((0, 1, 1))
        else:
            options.endMask |= (1 << place) if cut.stop is None else 0
            numbers.append((cut.start, 0 if cut.stop is None else cut.stop, cut.step))
        if (cut is not None and cut.drops) or (axis == INSERTED and drops):
            options.shrinkAxisMask |= 1 << place
    parts = zip(("begin", "end", "steps"), zip(*numbers, strict=True), strict=True)
    return (value.tensor, *(lowering.numbers(list(part), name) for name, part in parts)), options


def _without(axes: Axes, dropped: set[int]) -> Axes:
    """Return the order of axes that is left; the axes that ONNX does not have go with those that are dropped."""
    if not dropped:
        return axes
    left = [axis for axis in axes if axis != INSERTED and axis not in dropped]
    return tuple(sorted(left).index(axis) for axis in left)


def lower_slice(operation: Operation, lowering: Lowering) -> None:
    """Write Slice with constant bounds, any steps and axes."""
    value = lowering.value(operation.input(0))
    starts, ends = lowering.parameter(operation, 1, "starts"), lowering.parameter(operation, 2, "ends")
    if starts is None or ends is None:
        raise lowering.refusal(operation, "its starts and ends are left out")
    axes, steps = lowering.parameter(operation, 3, "axes"), lowering.parameter(operation, 4, "steps")
    rank = len(value.shape)
    chosen = range(len(starts)) if axes is None else [int(axis) % rank for axis in axes]
    jumps = [1] * len(starts) if steps is None else [int(step) for step in steps]
    cuts = []
    for axis, start, end, step in zip(chosen, starts.tolist(), ends.tolist(), jumps, strict=True):
        size = value.shape[axis]
        if axis == value.batch:
            cuts += _of_batch(operation, lowering, axis, start=start, end=end, step=step)
            continue
        first, last, _ = slice(start, end, step).indices(size)
        if (first, last, step) != (0, size, 1):
            cuts.append(Bounds(axis=axis, start=first, stop=None if last < 0 else last, step=step))
    _refuse_empty(operation, lowering)
    write_bounds(operation, lowering, value, cuts)


def _of_batch(operation: Operation, lowering: Lowering, axis: int, *, start: int, end: int, step: int) -> list[Bounds]:
    """Return how the free batch is cut: not at all, to its first or last row, or reversed; no other size is sure."""
    far = 1 << 31
    if step == 1 and start == 0 and end >= far - 1:
        return []
    if step == 1 and (start, end) == (0, 1):
        return [Bounds(axis=axis, start=0, stop=1)]
    if step == 1 and start == -1 and end >= far - 1:
        return [Bounds(axis=axis, start=-1, stop=None)]
    if step == -1 and start >= -1 and end <= -far and (start == -1 or start >= far - 1):
        return [Bounds(axis=axis, start=-1, stop=None, step=-1)]
    raise lowering.refusal(operation, f"it cuts the batch from {start} to {end}; export a fixed batch")


def _refuse_empty(operation: Operation, lowering: Lowering) -> None:
    if 0 in lowering.result(operation).shape:
        raise lowering.refusal(operation, "its result is empty; take it out of the model")


def lower_split(operation: Operation, lowering: Lowering) -> None:
    """Write Split as SPLIT where its parts are equal, else each part that is read as a STRIDED_SLICE."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    rank = len(value.shape)
    axis = operation.integer("axis", 0) % rank
    if axis == value.batch:
        raise lowering.refusal(operation, "it splits the batch; export a fixed batch")
    sizes = [lowering.result(operation, place).shape[axis] for place, name in enumerate(operation.outputs) if name]
    equal = len(set(sizes)) == 1 and "" not in operation.outputs
    if len(sizes) == 1 and sizes[0] == value.shape[axis]:
        lowering.define(operation, value.tensor, axes=value.axes)
    elif equal and value.element.name in _SPLITS:
        _split_evenly(operation, lowering, value, axis)
    else:
        _split_by_bounds(operation, lowering, value, axis)


def _split_evenly(operation: Operation, lowering: Lowering, value: Value, axis: int) -> None:
    options = lowering.schema.SplitOptionsT()
    options.numSplits = len(operation.outputs)
    place = value.axes.index(axis)
    shape = list(value.stored_shape)
    shape[place] //= len(operation.outputs)
    inputs = (lowering.writer.add_constant("axis", np.asarray(place, dtype=np.int32)), value.tensor)
    shapes = [shape] * len(operation.outputs)
    tensors = lowering.steps("SPLIT", inputs, operation.outputs, shapes=shapes, element=value.element, options=options)
    for output, tensor in enumerate(tensors):
        lowering.define(operation, tensor, axes=value.axes, place=output)


def _split_by_bounds(operation: Operation, lowering: Lowering, value: Value, axis: int) -> None:
    given = lowering.parameter(operation, 1, "split")
    part = lowering.result(operation, 0).shape[axis]
    sizes = [part] * len(operation.outputs) if given is None else [int(size) for size in given.reshape(-1)]
    start, read = 0, lowering.graph.uses()
    for place, (name, size) in enumerate(zip(operation.outputs, sizes, strict=True)):
        stop = min(start + size, value.shape[axis])
        if read[name] and start == stop:
            raise lowering.refusal(operation, f"its part {place} is empty; take it out of the model")
        if read[name]:
            write_bounds(operation, lowering, value, [Bounds(axis=axis, start=start, stop=stop)], place)
        start = stop


def lower_center_crop_pad(operation: Operation, lowering: Lowering) -> None:
    """Write CenterCropPad as a cut, then a PAD, each where it is needed."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    shape = lowering.result(operation).shape
    if value.batch != lowering.result(operation).batch:
        raise lowering.refusal(operation, "it cuts or pads the batch; export a fixed batch")
    cuts, pads = {}, {}
    for axis, (size, wanted) in enumerate(zip(value.shape, shape, strict=True)):
        if wanted < size:
            start = (size - wanted) // 2
            cuts[axis] = Bounds(axis=axis, start=start, stop=start + wanted)
        elif wanted > size:
            pads[axis] = ((wanted - size) // 2, wanted - size - (wanted - size) // 2)
    if not pads:
        write_bounds(operation, lowering, value, tuple(cuts.values()))
        return
    tensor = value.tensor
    if cuts:
        inputs, options = _strided(lowering, value, cuts)
        kept = [shape[axis] if axis in cuts else 1 if axis < 0 else value.shape[axis] for axis in value.axes]
        tensor = lowering.step(
            "STRIDED_SLICE", inputs, f"{operation.output}/cut", shape=kept, element=value.element, options=options
        )
    amounts = lowering.numbers(np.asarray([pads.get(axis, (0, 0)) for axis in value.axes]), "pads")
    lowering.write(operation, "PAD", (tensor, amounts), axes=value.axes, options=lowering.schema.PadOptionsT())


ENTRIES: Mapping[str, Entry] = {
    "CenterCropPad": Entry(lower=lower_center_crop_pad, writes=("STRIDED_SLICE", "PAD"), any_layout=True),
    "Slice": Entry(
        lower=lower_slice,
        writes=("STRIDED_SLICE",),
        any_layout=True,
        limits="constant bounds; a free batch only whole, reversed, or to its first or last row",
    ),
    "Split": Entry(lower=lower_split, writes=("SPLIT", "STRIDED_SLICE"), any_layout=True, limits="not of the batch"),
}
