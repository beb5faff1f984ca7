"""How large an arena a model needs, by the rules of TensorFlow Lite for Microcontrollers' own greedy planner.

For machines without the runtime's package; ``optimizer.benchmark.micro`` asks the runtime itself. The head of the
arena holds tensors by their lifetimes: the largest first, each at the lowest place that is free while it lives. The
tail holds the runtime's own accounts, a bound from above for its 64-bit build: a 32-bit device takes about half.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from optimizer.formats.tflite_emitter.file import element_names, is_constant, operations, read_file

_ALIGNMENT: Final = 16
_WIDTHS: Final = {"FLOAT32": 4, "INT32": 4, "INT8": 1, "UINT8": 1, "INT16": 2, "INT64": 8, "BOOL": 1, "FLOAT16": 2}
_TENSOR_BYTES, _OPERATOR_BYTES, _END_BYTES, _DATA_BYTES, _FIXED_BYTES = 24, 64, 128, 320, 1536
"""Of one tensor's account, one operator's, one input's or output's, an operator's own data, and of the interpreter."""
_PER_CHANNEL: Final = {"CONV_2D": 8, "DEPTHWISE_CONV_2D": 8, "FULLY_CONNECTED": 8, "TRANSPOSE_CONV": 16}
"""Bytes for each output channel: its multiplier and shift."""
_WIDE_SUMS: Final = {"TRANSPOSE_CONV": 8, "MEAN": 8, "SUM": 8}
"""Bytes of scratch that a kernel asks for, for each element that it gives."""
_TURNED: Final = {"BATCH_MATMUL": 4}
"""Bytes of scratch that a kernel asks for, for each element that it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """Bytes that live from one step to another, both included."""

    size: int
    first: int
    last: int


def planned_arena(content: bytes) -> int:
    """Return the bytes of arena that the TFLite file is expected to need, a multiple of 16.

    Raises:
        ModelError: it is no whole TFLite file.
    """
    model = read_file(content)
    return _aligned(planned_head(tuple(_buffers(model))) + _tail(model))


def planned_head(buffers: Sequence[Buffer]) -> int:
    """Return how far the buffers reach when each, largest first, takes the lowest place free in its lifetime."""
    placed: list[tuple[int, Buffer]] = []
    for buffer in sorted(buffers, key=lambda one: -one.size):
        beside = [one for one in placed if one[1].first <= buffer.last and buffer.first <= one[1].last]
        offset = 0
        for start, other in beside:
            if start - offset >= buffer.size:
                break
            offset = max(offset, start + other.size)
        placed.append((offset, buffer))
        placed.sort(key=lambda one: one[0])
    return max((start + one.size for start, one in placed), default=0)


def _buffers(model: Any) -> Iterator[Buffer]:
    """Yield the tensors that a run fills, with their lifetimes, and the kernels' scratch."""
    graph, elements = model.subgraphs[0], element_names()
    steps = list(operations(model))
    ends = {int(place): len(steps) for place in graph.outputs}
    first = {int(place): 0 for place in graph.inputs}
    last = dict.fromkeys(first, 0) | ends
    for step, operation in enumerate(steps):
        for place in operation.outputs:
            first.setdefault(place, step)
            last[place] = max(last.get(place, 0), step)
        for place in operation.inputs:
            last[place] = max(last.get(place, 0), step)
        scratch = sum(_elements(graph.tensors[place]) for place in operation.outputs) * _WIDE_SUMS.get(
            operation.operator, 0
        ) + sum(_elements(graph.tensors[place]) for place in operation.inputs) * _TURNED.get(operation.operator, 0)
        if scratch:
            yield Buffer(size=_aligned(scratch), first=step, last=step)
    for place, begin in first.items():
        tensor = graph.tensors[place]
        if not is_constant(model, tensor) and not tensor.isVariable:
            size = _elements(tensor) * _WIDTHS.get(elements[tensor.type], 4)
            yield Buffer(size=_aligned(size), first=begin, last=last[place])


def _tail(model: Any) -> int:
    graph = model.subgraphs[0]
    total = _FIXED_BYTES + _TENSOR_BYTES * len(graph.tensors)
    total += _END_BYTES * (len(graph.inputs) + len(graph.outputs))
    for operation in operations(model):
        channels = _sizes(graph.tensors[operation.outputs[0]])[-1:] if operation.outputs else []
        total += _OPERATOR_BYTES + _DATA_BYTES + _PER_CHANNEL.get(operation.operator, 0) * sum(channels)
    elements = element_names()
    for tensor in graph.tensors:
        if tensor.isVariable:
            total += _aligned(_elements(tensor) * _WIDTHS.get(elements[tensor.type], 4))
    return total


def _elements(tensor: Any) -> int:
    return math.prod(max(size, 1) for size in _sizes(tensor))


def _sizes(tensor: Any) -> list[int]:
    return [int(size) for size in tensor.shape] if tensor.shape is not None else []


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
