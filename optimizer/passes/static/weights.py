"""The layers of a segment and the grid of each one's weights, as ONNX Runtime's quantizer chooses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.errors import PassFailed
from optimizer.passes.layers import HEAVY, given
from optimizer.passes.static.tensors import array, attribute, initializers

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One layer's weights and their grid: points ``scale * (level - zero)``, levels from ``lowest`` to ``highest``.

    Attributes:
        operation: the ``onnx.NodeProto`` of the layer.
        name: the weights' name in the graph.
        weights: float64, the trained ones.
        axis: axis of the weights that holds the output channels (of a group, for ConvTranspose).
        scale: float64, broadcasts against the weights.
        zero: level that stands for 0.
        lowest: lowest level.
        highest: highest level.
    """

    operation: Any
    name: str
    weights: NDArray[np.float64]
    axis: int
    scale: NDArray[np.float64]
    zero: NDArray[np.float64]
    lowest: int
    highest: int

    def nearest(self, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the grid's nearest point to each weight."""
        levels = np.clip(np.round(weights / self.scale) + self.zero, self.lowest, self.highest)
        return np.asarray((levels - self.zero) * self.scale, np.float64)

    @property
    def ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The lowest and the highest point."""
        return (self.lowest - self.zero) * self.scale, (self.highest - self.zero) * self.scale

    @property
    def largest(self) -> NDArray[np.bool_]:
        """Which weights the scale comes from; where they stay, it stays."""
        others = tuple(place for place, size in enumerate(self.scale.shape) if size == 1)
        high, low = (end(self.weights, axis=others, keepdims=True) for end in (np.max, np.min))
        peak = np.maximum(np.abs(high), np.abs(low))
        return np.asarray((self.weights == high) | (self.weights == low) | (np.abs(self.weights) == peak))


def grids(graph: Any, inside: AbstractSet[str], *, unsigned: bool, per_channel: bool) -> tuple[Grid, ...]:
    """Return the layers among the operations inside that have constant weights, in the file's order.

    Raises:
        PassFailed: weights that are not finite.
    """
    constants = initializers(graph)
    return tuple(
        _grid(node, array(constants[node.input[1]]), unsigned=unsigned, per_channel=per_channel)
        for node in graph.node
        if given(node) in inside and node.op_type in HEAVY and node.input[1] in constants
    )


def channel_axis(operation: Any, rank: int) -> int:
    """Return the axis of a layer's weights that holds its output channels."""
    if operation.op_type == "Conv":
        return 0
    if operation.op_type == "Gemm":
        return 0 if attribute(operation, "transB", 0) else 1
    return 1 if operation.op_type == "ConvTranspose" else rank - 1


def _grid(operation: Any, weights: NDArray[np.generic], *, unsigned: bool, per_channel: bool) -> Grid:
    values = weights.astype(np.float64)
    if not np.isfinite(values).all():
        raise PassFailed(
            f"weights {operation.input[1]!r} of the layer that gives {given(operation)!r} hold values that are not "
            "finite (NaN or infinity); train or export the model again"
        )
    axis = channel_axis(operation, values.ndim)
    whole = not per_channel or (operation.op_type == "MatMul" and values.ndim != 2)
    others = tuple(place for place in range(values.ndim) if whole or place != axis)
    low = np.minimum(values.min(axis=others, keepdims=True), 0.0)
    high = np.maximum(values.max(axis=others, keepdims=True), 0.0)
    lowest, highest = (0, 255) if unsigned else (-127, 127)
    if unsigned and whole and operation.op_type != "MatMul":
        scale = (high - low) / 255
        zero = np.where(scale > 0, np.round(-low / np.where(scale > 0, scale, 1.0)), 0.0)
    else:
        scale = 2 * np.maximum(-low, high) / (highest - lowest)
        zero = np.full_like(scale, np.round((lowest + highest) / 2))
    scale = np.where(scale < np.finfo(np.float32).tiny, 1.0, scale)
    return Grid(
        operation=operation,
        name=operation.input[1],
        weights=values,
        axis=axis,
        scale=scale.astype(np.float32).astype(np.float64),
        zero=zero,
        lowest=lowest,
        highest=highest,
    )
