"""One float LSTM between integer tensors becomes an integer one, LiteRT's 8x8_16."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.file import element_names
from optimizer.passes.integer_lstm.clearing import add_clearing
from optimizer.passes.integer_lstm.layers import (
    BIASES,
    STATE_C,
    STATE_H,
    WEIGHTS,
    Layer,
    code_of,
    float_layers,
    makers,
)
from optimizer.passes.integer_lstm.writing import add_constant, add_tensor, affine

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

_INT8: Final = 127
_INT16: Final = 32768
_SMALLEST_LOG: Final = -15
"""A cell state's scale is at least 2^-15: its values then reach 1."""
_LARGEST_LOG: Final = -9
"""LiteRT's tanh of the cell takes at most 6 integer bits, so at least 9 after the point."""


def make_integer(
    file: Any, *, scales: Mapping[str, float], peaks: Mapping[str, float], cleared: Collection[str]
) -> None:
    """Write the float LSTMs that stand between integers in integers; the conversions on both sides vanish.

    Args:
        file: what ai-edge-quantizer made, as the schema's objects; changed in place.
        scales: the scale of each layer's output, by its name; zero is stored as 0.
        peaks: the largest absolute value of each layer's cell state, by the same name.
        cleared: names of the outputs of layers whose states are to be zero before every sequence.
    """
    graph = file.subgraphs[0]
    for layer in list(float_layers(file)):
        name = graph.tensors[layer.output].name.decode()
        source = _source(file, layer)
        if source is None or name not in scales or not _is_read_as_integers(file, layer, scales):
            continue
        output = _output(file, layer, scales[name])
        _write(file, layer, source=source, output=output, peak=peaks[name])
        if name in cleared:
            place = next(number for number, one in enumerate(graph.operators) if one is layer.operator)
            graph.operators[place:place] = add_clearing(file, layer.operator, hidden=layer.hidden)
    _drop_unread(file)


def _source(file: Any, layer: Layer) -> int | None:
    """Return the int8 tensor that the layer's float input stands for; None where it is float in truth."""
    place = int(layer.operator.inputs[0])
    if element_names()[file.subgraphs[0].tensors[place].type] == "INT8":
        return place
    made = makers(file).get(place)
    return int(made.inputs[0]) if made is not None and code_of(file, made) == "DEQUANTIZE" else None


def _is_read_as_integers(file: Any, layer: Layer, scales: Mapping[str, float]) -> bool:
    """Return whether all that read the layer's output make integers of it, or become integers themselves."""
    graph = file.subgraphs[0]
    readers = [one for one in graph.operators if layer.output in map(int, one.inputs)]
    layers = {id(one.operator): graph.tensors[one.output].name.decode() for one in float_layers(file)}
    return layer.output not in map(int, graph.outputs) and all(
        code_of(file, one) == "QUANTIZE" or layers.get(id(one), "") in scales for one in readers
    )


def _output(file: Any, layer: Layer, scale: float) -> int:
    """Return the int8 tensor of the layer's output, which everyone now reads; the QUANTIZEs behind it go."""
    graph = file.subgraphs[0]
    behind = [
        one for one in graph.operators if layer.output in map(int, one.inputs) and code_of(file, one) == "QUANTIZE"
    ]
    output = int(behind[0].outputs[0]) if behind else -1
    if not behind:
        output = add_tensor(file, "INT8", graph.tensors[layer.output].shape, affine(scale))
    stale = {layer.output, *(int(one.outputs[0]) for one in behind)}
    gone = {id(one) for one in behind}
    graph.operators = [one for one in graph.operators if id(one) not in gone]
    for operator in graph.operators:
        operator.inputs = [output if int(place) in stale else int(place) for place in operator.inputs]
    graph.outputs = [output if int(place) in stale else int(place) for place in graph.outputs]
    return output


def _write(file: Any, layer: Layer, *, source: int, output: int, peak: float) -> None:
    """Give the operator its integer inputs, states, intermediates and output."""
    tensors, operator = file.subgraphs[0].tensors, layer.operator
    given, made = tensors[source].quantization, tensors[output].quantization
    inputs = [int(place) for place in operator.inputs]
    inputs[0] = source
    scales = []
    places = []
    for array in (*layer.weights, *layer.recurrence):
        stored, scale = _symmetric(array)
        places.append(add_constant(file, stored, affine(scale)))
        scales.append(scale)
    inputs[WEIGHTS] = places
    inputs[BIASES] = [
        _bias(file, bias, scale * float(given.scale[0])) for bias, scale in zip(layer.biases, scales[:4], strict=True)
    ]
    batch = int(tensors[layer.state[0]].shape[0])
    shape = (batch, int(np.prod(tensors[layer.state[0]].shape)) // batch)
    inputs[STATE_H] = _variable(file, "INT8", shape, affine(float(made.scale[0]), int(made.zeroPoint[0])))
    inputs[STATE_C] = _variable(file, "INT16", shape, affine(2.0 ** _cell_log(peak)))
    hidden = affine(float(made.scale[0]), int(made.zeroPoint[0]))
    operator.inputs, operator.outputs = inputs, [output]
    operator.intermediates = [
        *(add_tensor(file, "INT16", (0,)) for _ in range(4)),
        add_tensor(file, "INT8", (0,), hidden),
    ]


def _cell_log(peak: float) -> int:
    """Return the exponent of the smallest power of two by which an int16 reaches the peak."""
    needed = math.ceil(math.log2(max(peak, 1e-6) / (_INT16 - 1)))
    return min(max(needed, _SMALLEST_LOG), _LARGEST_LOG)


def _symmetric(array: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    scale = float(np.float32(max(float(np.abs(array).max()), 1e-9) / _INT8))
    return np.clip(np.rint(array / scale), -_INT8, _INT8).astype(np.int8), scale


def _bias(file: Any, bias: NDArray[np.float32], scale: float) -> int:
    most = np.iinfo(np.int32).max
    stored = np.clip(np.rint(bias.astype(np.float64) / scale), -most, most).astype(np.int32)
    return add_constant(file, stored, affine(scale))


def _variable(file: Any, element: str, shape: tuple[int, int], quantization: Any) -> int:
    place = add_tensor(file, element, shape, quantization)
    file.subgraphs[0].tensors[place].isVariable = True
    return place


def _drop_unread(file: Any) -> None:
    """Leave out the DEQUANTIZEs that nobody reads any more."""
    graph = file.subgraphs[0]
    read = {int(place) for one in graph.operators for place in one.inputs} | {int(place) for place in graph.outputs}
    graph.operators = [
        one
        for one in graph.operators
        if code_of(file, one) != "DEQUANTIZE" or read.intersection(int(place) for place in one.outputs)
    ]
