"""Biases that their scale cannot hold: of channels whose weights are zero, or next to it.

A bias has the scale of its input times that of its channel's weights. Where those are all zero, as in pruned, padded
and interleaved layers, ai-edge-quantizer takes a scale next to nothing, and the bias becomes the lowest integer.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.file import element_names, give_data, operations, tensor_names

_PLACES: Final = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Where input, weights and bias stand among what the operator reads."""
_LARGEST: Final = 1 << 30
"""Of a stored bias: sums of products are added to it in 32 bits."""


def widen_biases(quantized: Any, original: Any) -> None:
    """Give the channels of too large biases a wider scale, and round their weights and biases by it.

    Args:
        quantized: the file as the schema's objects, tensors named as in the float file; changed in place.
        original: the float file.
    """
    names, elements = tensor_names(quantized), element_names()
    floats = dict(zip(tensor_names(original), original.subgraphs[0].tensors, strict=True))
    tensors = quantized.subgraphs[0].tensors
    for operation in operations(quantized):
        places = _PLACES.get(operation.operator, ())
        if not places or len(operation.inputs) <= max(places):
            continue
        source, weights, bias = (operation.inputs[place] for place in places)
        known = floats.get(names[weights]), floats.get(names[bias])
        if elements[tensors[bias].type] == "INT32" and elements[tensors[source].type] == "INT8" and all(known):
            wanted = [_floats(original, tensor) for tensor in known]
            _widen(quantized, tensors[source], (tensors[weights], tensors[bias]), wanted)


def _widen(file: Any, source: Any, made: tuple[Any, Any], wanted: list[Any]) -> None:
    """Write weights and bias (``made``) anew from the ``wanted`` floats, where a bias exceeds what its scale holds."""
    weights, bias = made
    scales = np.asarray(weights.quantization.scale, np.float64)
    step = float(source.quantization.scale[0])
    least = np.abs(wanted[1].astype(np.float64)).ravel() / (step * _LARGEST)
    least = least if len(scales) > 1 else least.max(keepdims=True)
    if len(least) != len(scales) or not (scales < least).any():
        return
    scales = np.maximum(scales, least)
    axis = [1] * wanted[0].ndim
    axis[weights.quantization.quantizedDimension if len(scales) > 1 else 0] = -1
    rounded = np.clip(np.round(wanted[0] / scales.reshape(axis)), -127, 127).astype(np.int8)
    weights.quantization.scale = scales.astype(np.float32).tolist()
    bias.quantization.scale = (scales * step).astype(np.float32).tolist()
    stored = np.round(wanted[1].astype(np.float64).ravel() / (scales * step)).astype("<i4")
    for tensor, values in ((weights, rounded), (bias, stored)):
        give_data(file, tensor, values.tobytes())


def _floats(file: Any, tensor: Any) -> Any:
    """Return the values of a float constant."""
    values = np.frombuffer(file.buffers[tensor.buffer].data, "<f4")
    return values.reshape([int(size) for size in tensor.shape])
