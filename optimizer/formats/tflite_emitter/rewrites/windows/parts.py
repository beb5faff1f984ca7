"""Slices that cut a value into equal parts, one after the other, become one Split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optimizer.formats.tflite_emitter.graph import Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing, renamed

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_MOST_PARTS = 8


def join_parts(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such slices as the outputs of one Split."""
    editing = Editing(graph)
    cuts: defaultdict[tuple[str, int], list[tuple[int, int, Operation]]] = defaultdict(list)
    for operation in graph.operations:
        cut = _cut(operation, editing) if operation.op == "Slice" else None
        if cut is not None:
            axis, start, stop = cut
            cuts[operation.input(0), axis].append((start, stop, operation))
    for (name, axis), found in cuts.items():
        parts = sorted(_once(editing, found), key=lambda part: part[:2])
        if _are_whole(editing, name, axis, parts):
            slices = [operation for _, _, operation in parts]
            split = Operation(
                op="Split",
                name=slices[0].name,
                inputs=(name,),
                outputs=tuple(operation.output for operation in slices),
                attributes={"axis": axis, "num_outputs": len(slices)},
            )
            editing.replace(slices, (split,))
    return editing.finish()


def _once(editing: Editing, found: Sequence[tuple[int, int, Operation]]) -> list[tuple[int, int, Operation]]:
    """Return the slices, each stretch once: what reads a second one reads the first instead."""
    kept: dict[tuple[int, int], Operation] = {}
    for start, stop, operation in found:
        first = kept.setdefault((start, stop), operation)
        if first is operation or editing.is_shown(operation.output):
            continue
        for reader in editing.readers(operation.output):
            editing.replace([reader], [renamed(reader, {operation.output: first.output})])
    return [(start, stop, operation) for (start, stop), operation in kept.items()]


def _cut(operation: Operation, editing: Editing) -> tuple[int, int, int] | None:
    """Return axis, start and stop of a Slice along one axis other than the batch; None for any other."""
    fact = editing.fact(operation.input(0))
    numbers = []
    for place, attribute in ((1, "starts"), (2, "ends"), (3, "axes"), (4, "steps")):
        given = editing.constant(operation.input(place)) if operation.input(place) else None
        listed = operation.attributes.get(attribute, (0,) if attribute == "axes" else (1,)) if given is None else given
        if operation.input(place) and given is None:
            return None
        numbers.append([int(number) for number in listed])
    if fact is None or any(len(listed) != 1 for listed in numbers) or numbers[3] != [1]:
        return None
    axis = numbers[2][0] % len(fact.shape)
    start, stop, _ = slice(numbers[0][0], numbers[1][0]).indices(fact.shape[axis])
    return None if axis == fact.batch else (axis, start, stop)


def _are_whole(editing: Editing, name: str, axis: int, parts: Sequence[tuple[int, int, Operation]]) -> bool:
    """Return whether the parts are equal, follow each other and leave nothing out."""
    fact = editing.fact(name)
    ends = [0, *(stop for _, stop, _ in parts)]
    follow = all(start == end for (start, _, _), end in zip(parts, ends, strict=False))
    sizes = {stop - start for start, stop, _ in parts}
    some = 1 < len(parts) <= _MOST_PARTS and len(sizes) == 1
    return fact is not None and some and follow and ends[-1] == fact.shape[axis]
