"""From ONNX bytes to TFLite bytes: read, rewrite, lower operation by operation, write.

Where a transposed value is moved is decided by trying: each Transpose or Reshape may put its data in order at once or
leave that to its readers, each image input may lie channel-last or not; what gives the fewest operators (a TRANSPOSE
counts twice) stays. One choice after the other is changed, so where it began matters: a mixer's tokens, once turned,
are only turned back by several changes at a time. It begins twice, with no Transpose and with each done at once.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from optimizer.errors import UnsupportedOperator
from optimizer.formats.tflite_emitter.forms import RecurrentForm
from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation
from optimizer.formats.tflite_emitter.layout import INSERTED, Value, channel_last, plain
from optimizer.formats.tflite_emitter.lowering import Lowering
from optimizer.formats.tflite_emitter.reading import read_graph, with_fixed_batch
from optimizer.formats.tflite_emitter.rewrites import rewritten
from optimizer.formats.tflite_emitter.table import ENTRIES, SUPPORTED, refusal
from optimizer.formats.tflite_emitter.tidy import tidy
from optimizer.formats.tflite_emitter.validity import check_accepted, check_sound, foreseen, readable
from optimizer.formats.tflite_emitter.writer import TfliteWriter

_MOVES: Final = frozenset({"TRANSPOSE", "GATHER"})
_ORDERS: Final = frozenset({"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_SAME_NUMBERS: Final = frozenset({"Expand", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze"})
_EFFORT: Final = 20_000
"""How many operations may be lowered in looking for a better layout: about a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """A TFLite file, and which of its inputs take (n, ..., c) where the ONNX model took (n, c, ...).

    ``fixed_batch`` says why the batch is 1 alone where the model's own was free; empty where it is free here too.
    ``masks`` are the integer inputs that are turned into floats and name no rows of a table.
    """

    content: bytes
    channel_last: frozenset[str]
    fixed_batch: str = ""
    masks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Which Transpose and Reshape operations put their data in order at once, and which inputs lie channel-last.

    ``recurrent`` is given.
    """

    moved: frozenset[str]
    turned: frozenset[str]
    recurrent: RecurrentForm


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What a layout costs, how many operators of it merely move data, and which operations' choice matters in it."""

    layout: _Layout
    cost: int
    moves: int
    open: frozenset[str]


def emit(content: bytes, *, recurrent: RecurrentForm = RecurrentForm.SEQUENCE, is_accepted: bool = False) -> Emitted:
    """Return the ONNX model as a float TFLite file, with the same names in the same order.

    The batch is free where the model's is, and every shape follows from it; where it can't be, it is 1.

    Args:
        content: the ONNX file.
        recurrent: the form of recurrent layers.
        is_accepted: ONNX Runtime has taken the graph before, as by ``open_original``, and need not be asked.

    Raises:
        UnsupportedOperator: an operator, or a use of it, that is not written.
        PassFailed: ONNX Runtime refuses the graph, an input's type is not served, or a size beside its batch is free.
    """
    if not is_accepted:
        check_accepted(content)
    with readable():
        graph = read_graph(content, known=SUPPORTED)
    check_sound(graph)
    masks = _masks(graph)
    try:
        return _emitted(graph, recurrent, masks=masks)
    except UnsupportedOperator as refused:
        if all(graph.facts[name].batch is None for name in graph.inputs):
            raise
        reason = str(refused)
    return _emitted(with_fixed_batch(graph, reason), recurrent, masks=masks)


def _masks(graph: OnnxGraph) -> frozenset[str]:
    """Return the integer inputs that are turned into floats, and name no rows of a table."""
    origins = {name: name for name in graph.inputs if graph.facts[name].element.name in ("int32", "int64")}
    cast, rows = set(), set()
    for operation in graph.operations:
        origin = origins.get(operation.input(0), "")
        if operation.op in _SAME_NUMBERS and origin:
            origins[operation.output] = origin
        elif operation.op == "Cast" and origin:
            cast.add(origin)
        elif operation.op == "Gather":
            rows.add(origins.get(operation.input(1), ""))
    return frozenset(cast - rows)


def _emitted(graph: OnnxGraph, recurrent: RecurrentForm, *, masks: frozenset[str]) -> Emitted:
    """Return the file of the graph, its batch free where the graph's is."""
    with readable():
        graph = rewritten(graph)
    for operation in graph.operations:
        if operation.op not in ENTRIES:
            raise refusal(operation)
    turned = frozenset(name for name in graph.inputs if _is_image(graph, name))
    layout = _improved(graph, _Layout(moved=frozenset(), turned=turned, recurrent=recurrent))
    writer = TfliteWriter()
    _, inputs, outputs = _lowered(graph, layout, writer)
    with readable():
        content = writer.to_bytes(inputs, outputs)
    return Emitted(content=content, channel_last=layout.turned, fixed_batch=graph.fixed_batch, masks=masks)


def _improved(graph: OnnxGraph, layout: _Layout) -> _Layout:
    """Return the layout of the shortest file that was found, from two beginnings.

    The second has every Transpose done at once; it is followed where it is no longer than what the first led to.
    """
    effort = max(0, _EFFORT // max(1, len(graph.operations)))
    best, tried = _descended(graph, _draft(graph, layout), effort=effort)
    transposes = frozenset(operation.name for operation in graph.operations if operation.op == "Transpose")
    if not best.moves or not transposes or tried >= effort:
        return best.layout
    other = _draft(graph, dataclasses.replace(layout, moved=transposes))
    if other.cost <= best.cost:
        other, _ = _descended(graph, other, effort=effort - tried)
    return other.layout if other.cost < best.cost else best.layout


def _descended(graph: OnnxGraph, best: _Draft, *, effort: int) -> tuple[_Draft, int]:
    """Return the draft, changed choice by choice as long as that makes the file shorter, and how many were tried."""
    choices = [("moved", operation.name) for operation in graph.operations if operation.op in _ORDERS]
    choices += [("turned", name) for name in graph.inputs if len(graph.facts[name].shape) in (3, 4)]
    tried = 0
    for kind, name in choices if best.moves else ():
        if tried >= effort:
            break
        if kind == "moved" and name not in best.open:
            continue
        layout, tried = best.layout, tried + 1
        if kind == "moved":
            other = _draft(graph, dataclasses.replace(layout, moved=layout.moved ^ {name}))
        else:
            other = _draft(graph, dataclasses.replace(layout, turned=layout.turned ^ {name}))
        best = other if other.cost < best.cost else best
    return best, tried


def _draft(graph: OnnxGraph, layout: _Layout) -> _Draft:
    """Return what the layout leads to."""
    writer = TfliteWriter(draft=True)
    lowering, _, _ = _lowered(graph, layout, writer)
    codes = writer.operators
    moves = sum(code in _MOVES for code in codes)
    return _Draft(layout=layout, cost=len(codes) + moves, moves=moves, open=frozenset(lowering.open))


def _lowered(
    graph: OnnxGraph, layout: _Layout, writer: TfliteWriter
) -> tuple[Lowering, list[tuple[str, int]], list[tuple[str, int]]]:
    """Write the graph; return the state it ends in, and name and tensor of each input and each output."""
    lowering = Lowering(graph, writer, moved=layout.moved, recurrent=layout.recurrent)
    inputs = [(name, _add_input(lowering, name, turned=name in layout.turned)) for name in graph.inputs]
    for operation in graph.operations:
        with foreseen(operation):
            ENTRIES[operation.op].lower(operation, lowering)
    outputs = _finish_outputs(lowering, taken={tensor for _, tensor in inputs})
    results = tidy(writer, inputs=[tensor for _, tensor in inputs], outputs=[tensor for _, tensor in outputs])
    outputs = [(name, tensor) for (name, _), tensor in zip(outputs, results, strict=True)]
    for name, tensor in (*inputs, *outputs):
        writer.rename(tensor, name)
        axis = writer.batches.get(tensor)
        if axis is not None:
            writer.leave_free(tensor, axis)
    return lowering, inputs, outputs


def _is_image(graph: OnnxGraph, name: str) -> bool:
    """Return whether the first thing that cares about the input's layout wants it channel-last."""
    if len(graph.facts[name].shape) not in (3, 4):
        return False
    readers = defaultdict(list)
    for operation in graph.operations:
        for value in operation.inputs:
            readers[value].append(operation)
    waiting, seen = [name], set()
    while waiting:
        value = waiting.pop()
        for operation in readers[value]:
            entry = ENTRIES[operation.op]
            if entry.image and operation.input(0) == value:
                return True
            if entry.any_layout and operation.output not in seen:
                seen.add(operation.output)
                waiting.append(operation.output)
    return False


def _add_input(lowering: Lowering, name: str, *, turned: bool) -> int:
    """Add the tensor of an input; a line (n, c, l) is taken as (n, l, c), without the image's height."""
    fact = lowering.graph.facts[name]
    rank = len(fact.shape)
    axes = tuple(axis for axis in channel_last(rank) if axis != INSERTED) if turned else plain(rank)
    value = Value(tensor=-1, shape=fact.shape, axes=axes, element=fact.element, batch=fact.batch)
    tensor = lowering.writer.add_tensor(name, value.stored_shape, fact.element)
    lowering.define_input(
        name, Value(tensor=tensor, shape=fact.shape, axes=axes, element=fact.element, batch=fact.batch)
    )
    return tensor


def _finish_outputs(lowering: Lowering, *, taken: set[int]) -> list[tuple[str, int]]:
    """Return name and tensor of each output, in ONNX's layout, each a tensor of its own."""
    outputs = []
    for public, name in lowering.graph.outputs:
        value = lowering.as_plain(lowering.value(name))
        tensor = value.tensor
        if lowering.repeats(name) is not None or name in lowering.graph.batch_constants:
            operation = Operation(op="Identity", name=public, inputs=(name,), outputs=(public,))
            raise lowering.refusal(operation, "it gives a constant that depends on the batch; export a fixed batch")
        if tensor in taken or tensor in lowering.writer.constants:
            tensor = lowering.copy_tensor(tensor, value.shape, public, batch=value.batch, element=value.element)
        taken.add(tensor)
        outputs.append((public, tensor))
    return outputs
