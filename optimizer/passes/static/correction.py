"""Bias correction: what rounding adds to a layer's output on average is taken out of its bias (Nagel 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.passes.layers import given
from optimizer.passes.static.tensors import array, attribute, initializers, put, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from optimizer.calibration.statistics import Statistics
    from optimizer.passes.static.weights import Grid

_WITH_BIAS = frozenset({"Conv", "ConvTranspose", "Gemm"})


def correct_biases(graph: Any, layers: Iterable[Grid], statistics: Statistics) -> None:
    """Subtract from each layer's bias the mean shift that its weights' rounding causes.

    The mean comes from the layer's input, channel by channel, so no row is run again; padding is taken as input.
    A layer without a bias is given one; one whose bias is computed, or whose input was not seen, is left.
    """
    constants = initializers(graph)
    for layer in layers:
        node = layer.operation
        seen = statistics.tensors.get(node.input[0])
        has_bias = len(node.input) > 2 and bool(node.input[2])
        if node.op_type not in _WITH_BIAS or seen is None or (has_bias and node.input[2] not in constants):
            continue
        change = layer.nearest(array(constants[layer.name]).astype(np.float64)) - layer.weights
        shift = _shift(node, change, seen.channel_mean)
        bias = array(constants[node.input[2]]) if has_bias else np.zeros(len(shift), np.float32)
        name = f"{given(node)}/corrected_bias"
        put(graph, name, (bias.astype(np.float64) - shift).astype(bias.dtype))
        del node.input[2:]
        node.input.append(name)


def _shift(node: Any, change: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean change of each output channel, shape (channels,)."""
    summed = table(node, change).sum(axis=3)
    shift = np.asarray((summed * means.reshape(len(summed), 1, -1)).sum(axis=2).reshape(-1), np.float64)
    if node.op_type == "ConvTranspose":  # an output place sees one weight of the kernel in so many
        return shift / float(np.prod(attribute(node, "strides", [1])))
    return shift
