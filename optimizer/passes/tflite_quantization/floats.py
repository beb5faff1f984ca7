"""The float form of a file whose weights alone are stored small: dynamic range, weights in 8 bits, half precision.

What is published as the float file of a network is often one of these. Their activations are float, so they can be
quantized like any; the weights go back to the very integers that they came from, where those filled their range.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from optimizer.errors import PassFailed
from optimizer.formats.tflite_emitter.file import element_names, give_data, is_constant, operations

_STORED: Final = {"INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "FLOAT16": np.float16}


def widen_weights(file: Any) -> bool:
    """Make every stored weight of the file float; return whether its activations are float, so that this was all.

    A constant that is quantized, or in half precision, becomes a float one, and the DEQUANTIZE behind it goes.

    Raises:
        PassFailed: a constant has not as many numbers as its shape says.
    """
    graph, elements = file.subgraphs[0], element_names()
    wide = next(number for number, name in elements.items() if name == "FLOAT32")
    for tensor in graph.tensors:
        if not is_constant(file, tensor) and _is_quantized(tensor):
            return False
    for tensor in graph.tensors:
        kind = elements[tensor.type]
        if is_constant(file, tensor) and kind in _STORED and (_is_quantized(tensor) or kind == "FLOAT16"):
            _widen(file, tensor, np.dtype(_STORED[kind]), wide)
    _drop_dequantize(file)
    return True


def _is_quantized(tensor: Any) -> bool:
    scales = None if tensor.quantization is None else tensor.quantization.scale
    return scales is not None and len(scales) > 0


def _widen(file: Any, tensor: Any, stored: np.dtype[Any], wide: int) -> None:
    """Give the tensor a float buffer of its own, of what its stored values stand for."""
    values = np.frombuffer(file.buffers[tensor.buffer].data, stored.newbyteorder("<"))
    shape = [int(size) for size in tensor.shape] if tensor.shape is not None else []
    if values.size != math.prod(shape):
        name = (tensor.name or b"").decode("utf-8", "replace")
        raise PassFailed(
            f"quantize-tflite: constant {name!r} holds {values.size} numbers for shape {shape}: the file is damaged; "
            "convert it again"
        )
    values = values.reshape(shape).astype(np.float32)
    if _is_quantized(tensor):
        axis = [1] * values.ndim
        if len(tensor.quantization.scale) > 1:
            axis[tensor.quantization.quantizedDimension] = -1
        scale = np.asarray(tensor.quantization.scale, np.float32).reshape(axis)
        points = tensor.quantization.zeroPoint
        point = np.asarray(points if points is not None else [0], np.float32).reshape(axis)
        values = (values - point) * scale
    give_data(file, tensor, values.astype("<f4").tobytes())
    tensor.type, tensor.quantization = wide, None


def _drop_dequantize(file: Any) -> None:
    """Let what read a DEQUANTIZE of a constant read that constant."""
    graph = file.subgraphs[0]
    instead: dict[int, int] = {}
    kept = []
    for operator, known in zip(graph.operators, operations(file), strict=True):
        if known.operator == "DEQUANTIZE" and is_constant(file, graph.tensors[known.inputs[0]]):
            instead[known.outputs[0]] = known.inputs[0]
        else:
            kept.append(operator)
    for operator in kept:
        operator.inputs = [instead.get(int(place), int(place)) for place in operator.inputs]
    graph.operators = kept
