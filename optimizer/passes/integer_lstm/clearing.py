"""The operators that set an LSTM's states to zero before the sequence: taken out of a float file, put back in integers.

A quantizer would cut the states off from them by a conversion, and a state has to be a variable.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.file import is_constant
from optimizer.passes.integer_lstm.layers import Layer, code_of, makers
from optimizer.passes.integer_lstm.writing import add_constant, add_operator, add_tensor, affine

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZEROS: Final = ("FULLY_CONNECTED", "SPLIT", "ZEROS_LIKE")
_LARGEST: Final = 16384
"""Weights of the product with zeros at most: 16 KiB."""


def setting(file: Any, states: Collection[int]) -> list[Any]:
    """Return the operators that set the states, and those that do nothing else than lead to them, in order."""
    graph = file.subgraphs[0]
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for place in operator.inputs:
            readers.setdefault(int(place), []).append(operator)
    found: list[Any] = []
    for operator in reversed(graph.operators):
        outputs = {int(place) for place in operator.outputs}
        reading = [one for place in outputs for one in readers.get(place, ())]
        leads = reading and all(any(one is other for other in found) for one in reading)
        if outputs.intersection(states) or (leads and not outputs.intersection(map(int, graph.outputs))):
            found.append(operator)
    return found[::-1]


def begins_with_zeros(file: Any, layer: Layer) -> bool:
    """Return whether nothing sets the layer's states to something else than zeros."""
    made = makers(file)
    return all(place not in made or _is_zero(file, made, made[place]) for place in layer.state)


def drop_clearing(file: Any, layers: Sequence[Layer]) -> frozenset[int]:
    """Take out what sets the layers' states to zeros; return the outputs of the layers of which it was."""
    graph, made = file.subgraphs[0], makers(file)
    cleared = frozenset(layer.output for layer in layers if any(place in made for place in layer.state))
    gone = {id(one) for one in setting(file, {place for layer in layers for place in layer.state})}
    graph.operators = [one for one in graph.operators if id(one) not in gone]
    return cleared


def _is_zero(file: Any, made: dict[int, Any], operator: Any) -> bool:
    code = code_of(file, operator)
    if code not in _ZEROS:
        return False
    if code == "ZEROS_LIKE":
        return True
    if code == "FULLY_CONNECTED":
        return not any(_values(file, int(place)).any() for place in operator.inputs[1:] if place >= 0)
    source = int(operator.inputs[1])
    if is_constant(file, file.subgraphs[0].tensors[source]):
        return not _values(file, source).any()
    return source in made and _is_zero(file, made, made[source])


def _values(file: Any, place: int) -> NDArray[np.float32]:
    data = file.buffers[file.subgraphs[0].tensors[place].buffer].data
    return np.ones(1, np.float32) if data is None else np.frombuffer(data, np.float32)


def add_clearing(file: Any, operator: Any, *, hidden: int) -> list[Any]:
    """Return the operators that set the states of an integer LSTM to zero, whatever the batch.

    A product of the input with zeros gives h, whose zero point is 0; a cast of it gives c.
    """
    tensors = file.subgraphs[0].tensors
    source, (h, c) = int(operator.inputs[0]), (int(place) for place in operator.inputs[18:20])
    shape = [int(size) for size in tensors[source].shape]
    elements = shape[0] * shape[1] * shape[2] // _batch(operator, shape)
    rows = math.gcd(elements, hidden)
    found: list[Any] = []
    if elements * hidden // rows**2 > _LARGEST:
        found.append(_first_number(file, operator, shape))
        source, elements, rows = int(found[0].outputs[0]), 1, 1
    for place in (h, c):
        tensors[place].shape = [_batch(operator, shape) * rows, hidden // rows]
    scale = float(tensors[h].quantization.scale[0]) / float(tensors[source].quantization.scale[0])
    zeros = add_constant(file, np.zeros((hidden // rows, elements // rows), np.int8), affine(scale))
    found.append(add_operator(file, "FULLY_CONNECTED", (source, zeros, -1), (h,), options="FullyConnected", version=4))
    cast = add_operator(file, "CAST", (h,), (c,), options="Cast")
    cast.builtinOptions.inDataType, cast.builtinOptions.outDataType = tensors[h].type, tensors[c].type
    return [*found, cast]


def _batch(operator: Any, shape: Sequence[int]) -> int:
    return shape[1 if operator.builtinOptions.timeMajor else 0]


def _first_number(file: Any, operator: Any, shape: Sequence[int]) -> Any:
    """Return the operator that takes the first number of the first step of each row, (N, 1)."""
    source = file.subgraphs[0].tensors[int(operator.inputs[0])]
    time = 0 if operator.builtinOptions.timeMajor else 1
    first = add_tensor(file, "INT8", (_batch(operator, shape), 1), source.quantization)
    ends = [add_constant(file, np.asarray(numbers, np.int32)) for numbers in ((0, 0, 0), (1, 1, 1), (1, 1, 1))]
    cut = add_operator(
        file, "STRIDED_SLICE", (int(operator.inputs[0]), *ends), (first,), options="StridedSlice", version=2
    )
    cut.builtinOptions.beginMask = cut.builtinOptions.endMask = 1 << (1 - time)
    cut.builtinOptions.shrinkAxisMask = 1 << time
    return cut
