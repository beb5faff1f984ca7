"""From ONNX bytes to TFLite bytes: read, rewrite, lower operation by operation, write.

Where a transposed value is moved is decided by trying: each Transpose or Reshape may put its data in order at once or
leave that to its readers, each image input may lie channel-last or not; what gives the fewest operators (a TRANSPOSE
counts twice) stays.
"""

from __future__ import annotations

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
_EFFORT: Final = 20_000
"""How many operations may be lowered in looking for a better layout: about a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """A TFLite file, and which of its inputs take (n, ..., c) where the ONNX model took (n, c, ...).

    ``fixed_batch`` says why the batch is 1 alone where the model's own was free; empty where it is free here too.
    """

    content: bytes
    channel_last: frozenset[str]
    fixed_batch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Which Transpose and Reshape operations put their data in order at once, and which inputs lie channel-last.

    ``recurrent`` is given.
    """

    moved: frozenset[str]
    turned: frozenset[str]
    recurrent: RecurrentForm


def emit(content: bytes, *, recurrent: RecurrentForm = RecurrentForm.SEQUENCE) -> Emitted:
    """Return the ONNX model as a float TFLite file, with the same names in the same order.

    The batch is free where the model's is, and every shape follows from it; where it can't be, it is 1.

    Raises:
        UnsupportedOperator: an operator, or a use of it, that is not written.
        PassFailed: ONNX Runtime refuses the graph, an input's type is not served, or a size beside its batch is free.
    """
    check_accepted(content)
    with readable():
        graph = read_graph(content, known=SUPPORTED)
    check_sound(graph)
    try:
        return _emitted(graph, recurrent)
    except UnsupportedOperator as refused:
        if all(graph.facts[name].batch is None for name in graph.inputs):
            raise
        reason = str(refused)
    return _emitted(with_fixed_batch(graph, reason), recurrent)


def _emitted(graph: OnnxGraph, recurrent: RecurrentForm) -> Emitted:
    """Return the file of the graph, its batch free where the graph's is."""
    with readable():
        graph = rewritten(graph)
    for operation in graph.operations:
        if operation.op not in ENTRIES:
            raise refusal(operation)
    turned = frozenset(name for name in graph.inputs if _is_image(graph, name))
    layout = _improved(graph, _Layout(moved=frozenset(), turned=turned, recurrent=recurrent))
    writer = TfliteWriter()
    inputs, outputs = _lowered(graph, layout, writer)
    with readable():
        content = writer.to_bytes(inputs, outputs)
    return Emitted(content=content, channel_last=layout.turned, fixed_batch=graph.fixed_batch)


def _improved(graph: OnnxGraph, layout: _Layout) -> _Layout:
    """Return the layout, changed one choice at a time as long as that makes the file shorter."""
    choices = [("moved", operation.name) for operation in graph.operations if operation.op in _ORDERS]
    choices += [("turned", name) for name in graph.inputs if len(graph.facts[name].shape) in (3, 4)]
    least, moves = _cost(graph, layout)
    left = max(0, _EFFORT // max(1, len(graph.operations)))
    for kind, name in choices[:left] if moves else ():
        other = _Layout(
            moved=layout.moved ^ ({name} if kind == "moved" else frozenset()),
            turned=layout.turned ^ ({name} if kind == "turned" else frozenset()),
            recurrent=layout.recurrent,
        )
        cost, _ = _cost(graph, other)
        if cost < least:
            layout, least = other, cost
    return layout


def _cost(graph: OnnxGraph, layout: _Layout) -> tuple[int, int]:
    """Return what the layout costs, and how many of its operators merely move data."""
    draft = TfliteWriter(draft=True)
    _lowered(graph, layout, draft)
    codes = draft.operators
    moves = sum(code in _MOVES for code in codes)
    return len(codes) + moves, moves


def _lowered(
    graph: OnnxGraph, layout: _Layout, writer: TfliteWriter
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Write the graph; return name and tensor of each input and each output."""
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
    return inputs, outputs


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
