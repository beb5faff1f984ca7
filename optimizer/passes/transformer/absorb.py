"""Scaling the channels of a tensor for nothing: the factors go into constants of the operations before it.

That is exact where the tensor is linear in some constants by channel: behind a LayerNormalization, a bias, a dense
layer, a rectifier (factors are positive), and through attention, which mixes tokens and leaves the channels of its
values apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from optimizer.passes.transformer.dense import dense_layer
from optimizer.passes.transformer.graph import Graph, attribute

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADS_APART: Final = [0, 2, 1, 3]

Constants: TypeAlias = list[tuple[Any, int, int]]
"""Constants to be scaled: the operation, the place among its inputs, and which axis holds the channels."""


def absorb(graph: Graph, tensor: str, factor: NDArray[np.float32], *, readers: int) -> bool:
    """Scale the tensor's last axis by the factor, if constants before it can take it; return whether they did.

    Args:
        graph: what is changed.
        tensor: the tensor to scale.
        factor: float32, shape (channels,), all above zero.
        readers: how many times the tensor is read by those who want it scaled: one reader more forbids it.
    """
    found = _constants(graph, tensor, len(factor), readers)
    if not found:
        return False
    for operation, place, axis in found:
        values = graph.values(operation.input[place])
        shape = [1] * values.ndim
        shape[axis] = len(factor)
        scaled = np.asarray(values * factor.reshape(shape), np.float32)
        operation.input[place] = graph.add_constant(f"{operation.input[place]}/scaled", scaled)
    return True


def _constants(graph: Graph, tensor: str, channels: int, readers: int) -> Constants | None:
    """Return the constants that carry the tensor's scale; None where there is something else that does."""
    operation = graph.giver(tensor)
    if operation is None or graph.is_read_elsewhere(tensor) or len(graph.readers(tensor)) != readers:
        return None
    found = _BY_KIND.get(operation.op_type)
    return None if found is None else found(graph, operation, channels)


def _through(graph: Graph, operation: Any, channels: int) -> Constants | None:
    """Return the constants behind an operator that gives scaled values for scaled values, by a positive factor."""
    return _constants(graph, operation.input[0], channels, 1)


def _normalization(graph: Graph, operation: Any, channels: int) -> Constants | None:
    places = range(1, len(operation.input))
    shapes = [None if (held := graph.constant(operation.input[at])) is None else held.shape for at in places]
    return [(operation, at, -1) for at in places] if {*shapes} == {(channels,)} else None


def _elementwise(graph: Graph, operation: Any, channels: int) -> Constants | None:
    for place, other in ((1, 0), (0, 1)):
        values = graph.constant(operation.input[place])
        if values is None or values.size != channels or values.shape[-1:] != (channels,):
            continue  # one factor for all channels belongs to something that ONNX Runtime fuses, as in GELU
        own: Constants = [(operation, place, -1)]
        if operation.op_type == "Mul":
            return own
        before = _constants(graph, operation.input[other], channels, 1)
        return None if before is None else own + before
    return None


def _dense(graph: Graph, operation: Any, channels: int) -> Constants | None:
    layer = dense_layer(graph, operation)
    if layer is None or layer.weights.shape[1] != channels:
        return None
    axis = 0 if operation.op_type == "Gemm" and attribute(operation, "transB", 0) else 1
    weights: Constants = [(operation, 1, axis)]
    if not layer.bias:
        return weights
    bias = graph.constant(layer.bias)
    if bias is None or bias.size not in (1, channels) or bias.shape[-1:] not in ((), (1,), (channels,)):
        return None
    return [*weights, (operation, 2, -1)]


def _attention(graph: Graph, joined: Any, channels: int) -> Constants | None:
    """Return the constants behind the values of an attention whose heads ``joined`` puts side by side again."""
    chain = joined
    for kind, place in (("Transpose", 0), ("MatMul", 0), ("Transpose", 1), ("Reshape", 0)):
        tensor = chain.input[place]
        chain = graph.giver(tensor)
        if chain is None or chain.op_type != kind or len(graph.readers(tensor)) != 1:
            return None
        if graph.is_read_elsewhere(tensor) or (kind == "Transpose" and attribute(chain, "perm", []) != _HEADS_APART):
            return None
    heads = graph.constant(chain.input[1])
    if heads is None or heads.shape != (4,) or heads[2] * heads[3] != channels or (heads[2:] < 1).any():
        return None
    whole = graph.constant(joined.input[1])
    if whole is None or whole.shape != (3,) or whole[2] not in (channels, -1):
        return None
    return _constants(graph, chain.input[0], channels, 1)


_BY_KIND: Final[dict[str, Callable[[Graph, Any, int], Constants | None]]] = {
    "Add": _elementwise,
    "Gemm": _dense,
    "Identity": _through,
    "LayerNormalization": _normalization,
    "LeakyRelu": _through,
    "MatMul": _dense,
    "Mul": _elementwise,
    "Relu": _through,
    "Reshape": _attention,
}
