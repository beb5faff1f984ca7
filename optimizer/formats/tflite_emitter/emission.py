"""From ONNX bytes to TFLite bytes: read, fuse, lower operation by operation, write."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from optimizer.errors import UnsupportedOperator
from optimizer.formats.tflite_emitter.fusion import fuse
from optimizer.formats.tflite_emitter.layout import INSERTED, Value, channel_last, plain
from optimizer.formats.tflite_emitter.lowering import Lowering
from optimizer.formats.tflite_emitter.onnx_graph import OnnxGraph, read_graph
from optimizer.formats.tflite_emitter.table import LOWERINGS, SUPPORTED
from optimizer.formats.tflite_emitter.writer import TfliteWriter

_WANTS_CHANNEL_LAST = frozenset({"Conv", "MaxPool", "AveragePool", "GlobalAveragePool"})
_ANY_LAYOUT = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "Add", "Sub", "Mul", "Div", "Pad", "Concat"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """A TFLite file, and which of its inputs take (n, ..., c) where the ONNX model took (n, c, ...)."""

    content: bytes
    channel_last: frozenset[str]


def emit(content: bytes) -> Emitted:
    """Return the ONNX model as a float TFLite file of batch 1, with the same names in the same order.

    Raises:
        UnsupportedOperator: an operator, or a use of it, that is not written.
        PassFailed: an input is not float32, or has a free size other than its batch.
    """
    graph = fuse(read_graph(content))
    _refuse_unknown(graph)
    writer = TfliteWriter()
    lowering = Lowering(graph, writer)
    turned = frozenset(name for name in graph.inputs if _is_image(graph, name))
    inputs = [(name, _add_input(lowering, name, turned=name in turned)) for name in graph.inputs]
    for operation in graph.operations:
        LOWERINGS[operation.op](operation, lowering)
    outputs = _finish_outputs(lowering, taken={tensor for _, tensor in inputs})
    for name, tensor in (*inputs, *outputs):
        writer.rename(tensor, name)
    return Emitted(content=writer.to_bytes(inputs, outputs), channel_last=turned)


def _refuse_unknown(graph: OnnxGraph) -> None:
    for operation in graph.operations:
        if operation.op not in LOWERINGS:
            raise UnsupportedOperator(operation.op, operation.name, reason="", supported=SUPPORTED)


def _is_image(graph: OnnxGraph, name: str) -> bool:
    """Return whether the first thing that cares about the input's layout wants it channel-last."""
    if len(graph.shapes[name]) not in (3, 4):
        return False
    readers = defaultdict(list)
    for operation in graph.operations:
        for value in operation.inputs:
            readers[value].append(operation)
    waiting, seen = [name], set()
    while waiting:
        value = waiting.pop()
        for operation in readers[value]:
            if operation.op in _WANTS_CHANNEL_LAST and operation.input(0) == value:
                return True
            if operation.op in _ANY_LAYOUT and operation.output not in seen:
                seen.add(operation.output)
                waiting.append(operation.output)
    return False


def _add_input(lowering: Lowering, name: str, *, turned: bool) -> int:
    """Add the tensor of an input; a line (n, c, l) is taken as (n, l, c), without the image's height."""
    shape = lowering.graph.shapes[name]
    axes = tuple(axis for axis in channel_last(len(shape)) if axis != INSERTED) if turned else plain(len(shape))
    value = Value(tensor=-1, shape=shape, axes=axes)
    tensor = lowering.writer.add_tensor(name, value.stored_shape)
    lowering.define_input(name, Value(tensor=tensor, shape=shape, axes=axes))
    return tensor


def _finish_outputs(lowering: Lowering, *, taken: set[int]) -> list[tuple[str, int]]:
    """Return name and tensor of each output, in ONNX's layout, each a tensor of its own."""
    outputs = []
    for public, name in lowering.graph.outputs:
        value = lowering.as_plain(lowering.value(name))
        tensor = value.tensor
        if tensor in taken or name in lowering.graph.constants:
            tensor = lowering.reshape_tensor(tensor, value.shape, public)
        taken.add(tensor)
        outputs.append((public, tensor))
    return outputs
