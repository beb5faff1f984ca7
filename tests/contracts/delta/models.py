"""Small models of two versions: what a fine-tune does to weights, without training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


def onnx_file(tensors: Mapping[str, Array], *, scales: Mapping[str, str] | None = None) -> bytes:
    """Return an ONNX file with those initializers, and a DequantizeLinear for each weight that has scales."""
    import onnx
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("DequantizeLinear", [weight, scale], [f"{weight}_real"], axis=0)
        for weight, scale in (scales or {}).items()
    ]
    graph = helper.make_graph(
        nodes, "g", [], [], initializer=[numpy_helper.from_array(one, name) for name, one in tensors.items()]
    )
    content: bytes = helper.make_model(graph, producer_name="tests").SerializeToString()
    assert onnx.load_from_string(content).graph.initializer
    return content


def weights(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return weights as of a trained layer."""
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def tuned(weight: NDArray[np.float32], *, by: float = 1e-3, seed: int = 1) -> NDArray[np.float32]:
    """Return the weights after a fine-tune: each channel grew, each weight moved a little."""
    random = np.random.default_rng(seed)
    grown = random.normal(1, 0.02, (len(weight), *(1,) * (weight.ndim - 1)))
    return (weight * grown + random.normal(0, by, weight.shape)).astype(np.float32)


def quantized(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return the int8 weights and their scales, one for each output channel."""
    scale = (np.abs(weight).max(axis=tuple(range(1, weight.ndim))) / 127).astype(np.float32)
    steps = weight / scale.reshape(-1, *(1,) * (weight.ndim - 1))
    return np.rint(steps).astype(np.int8), scale


def float_pair() -> tuple[bytes, bytes]:
    """Return an fp32 model of two layers and its fine-tune."""
    first, second = weights(16, 8, 3, 3), weights(10, 16, seed=2)
    bias = weights(16, seed=3)
    base = onnx_file({"first": first, "bias": bias, "second": second})
    return base, onnx_file({"first": tuned(first), "bias": tuned(bias), "second": tuned(second)})


def int8_pair() -> tuple[bytes, bytes]:
    """Return an int8 model of a layer with its scales, and its fine-tune, recalibrated."""
    old = weights(32, 16, 3, 3)
    return int8_file(old, given=0.031), int8_file(tuned(old, by=3e-4), given=0.032)


def int8_file(weight: NDArray[np.float32], *, given: float) -> bytes:
    """Return the int8 model: weights, their scales, the input's scale, the bias's scales, its product with both."""
    steps, scale = quantized(weight)
    of_input = np.array(given, np.float32)
    tensors: dict[str, Array] = {
        "weight": steps,
        "scale": scale,
        "input_scale": of_input,
        "bias_scale": scale * of_input,
    }
    return onnx_file(tensors, scales={"weight": "scale"})
