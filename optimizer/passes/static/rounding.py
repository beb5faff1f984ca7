"""Adaptive rounding: each weight goes up or down so that the layer's output changes least on calibration rows.

The aim is AdaRound's (Nagel 2020): least squared change of the layer's output, over choices of the two neighbouring
points. It is a quadratic form in the weights' changes whose matrix is the second moment of the layer's inputs, so the
rows are seen once and memory does not grow with them; it is made smaller weight by weight until none moves. Nothing is
drawn at random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.errors import PassFailed
from optimizer.passes.layers import given
from optimizer.passes.static.moments import fits, moment_of
from optimizer.passes.static.tensors import array, initializers, put, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from optimizer.passes.static.weights import Grid

_SWEEPS: Final = 6
_DAMPING: Final = 0.01
"""Share of the mean second moment that is added to each input's own: few rows say little about rare directions."""
_BATCH_ROWS: Final = 4


def round_weights(proto: Any, layers: Sequence[Grid], rows: Mapping[str, NDArray[np.generic]], *, batch: int) -> None:
    """Put the weights of each layer on points of its grid, chosen on the rows; the quantizer then keeps them.

    The largest weights of each channel stay, so that the quantizer finds the same scale. A layer whose weights come
    to too many inputs for a second moment, or whose input is not seen, keeps its weights.

    Args:
        proto: the float model, prepared; weights are changed.
        layers: the layers whose weights are rounded.
        rows: rows as the model takes them.
        batch: the model's fixed batch, 0 for any.

    Raises:
        PassFailed: the model does not run on the rows, or they are fewer than its fixed batch.
    """
    count = min(len(values) for values in rows.values())
    if count < batch:
        raise PassFailed(
            f"quantize-static: adaptive rounding runs the model on its fixed batch of {batch}, and there are {count} "
            "rows; give more, or leave rounding = 'nearest'"
        )
    constants = initializers(proto.graph)
    shapes = {layer.name: array(constants[layer.name]).shape for layer in layers}
    wanted = [layer for layer in layers if fits(layer.operation, shapes[layer.name])]
    moments: dict[str, NDArray[np.float64]] = {}
    for seen in _inputs(proto, wanted, rows, batch):
        for layer in wanted:
            moment = moment_of(layer.operation, seen[layer.operation.input[0]], shapes[layer.name])
            moments[given(layer.operation)] = moments.get(given(layer.operation), 0.0) + moment
    for layer in wanted:
        weights = array(constants[layer.name])
        chosen = _choose(layer, moments[given(layer.operation)])
        put(proto.graph, layer.name, chosen.astype(weights.dtype))


def _choose(layer: Grid, moment: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the layer's weights on the points of its grid that change the output least."""
    weights = _flat(layer, layer.weights)
    scale = _flat(layer, np.broadcast_to(layer.scale, layer.weights.shape))
    nearest = _flat(layer, layer.nearest(layer.weights))
    other = nearest + np.where(weights > nearest, scale, -scale)
    low, high = (_flat(layer, np.broadcast_to(end, layer.weights.shape)) for end in layer.ends)
    largest = _flat(layer, layer.largest)
    fixed = largest | (other < low) | (other > high)
    found = _descend(weights, nearest, np.where(fixed, nearest, other), moment)
    chosen = np.empty_like(layer.weights)
    by_output = table(layer.operation, chosen)
    by_output[...] = np.where(largest, weights, found).reshape(by_output.shape)
    return chosen


def _flat(layer: Grid, values: NDArray[Any]) -> NDArray[Any]:
    """Return values shaped like the weights as (groups, outputs of a group, inputs of a window)."""
    by_output = table(layer.operation, values)
    return by_output.reshape(*by_output.shape[:2], -1)


def _descend(
    weights: NDArray[np.float64],
    start: NDArray[np.float64],
    other: NDArray[np.float64],
    moment: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return a choice between ``start`` and ``other`` that no single exchange makes better.

    All have shape (groups, channels of a group, inputs), ``moment`` (groups, inputs, inputs). The loss of one channel
    is ``change @ moment @ change``; exchanging weight j by d adds ``2 d (change @ moment)[j] + d**2 moment[j, j]``.
    """
    inputs = weights.shape[2]
    own = np.einsum("gii->gi", moment)
    damped = moment + np.eye(inputs) * (_DAMPING * own.mean(axis=1) + 1e-30)[:, None, None]
    here, there = start.copy(), other.copy()
    slope = (here - weights) @ damped
    for _ in range(_SWEEPS):
        moved = False
        for place in range(inputs):
            step = there[:, :, place] - here[:, :, place]
            gain = step * (2 * slope[:, :, place] + step * damped[:, None, place, place])
            group, channel = np.nonzero(gain < 0)
            if not len(group):
                continue
            moved = True
            slope[group, channel] += step[group, channel, None] * damped[group, place]
            kept = here[group, channel, place]
            here[group, channel, place], there[group, channel, place] = there[group, channel, place], kept
        if not moved:
            break
    return here


def _inputs(
    proto: Any, layers: Sequence[Grid], rows: Mapping[str, NDArray[np.generic]], batch: int
) -> Iterator[dict[str, NDArray[np.generic]]]:
    """Yield the tensors that the layers read, a few rows at a time."""
    import onnx

    from optimizer.errors import MeasureFailed
    from optimizer.formats.onnx_format import OnnxSession

    names = sorted({layer.operation.input[0] for layer in layers} - set(rows))
    wide = onnx.ModelProto()
    wide.CopyFrom(proto)
    known = {item.name for item in wide.graph.output}
    wide.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    try:
        session = OnnxSession(wide.SerializeToString(), name="the float model", threads=0)
        count, size = min(len(values) for values in rows.values()), batch or _BATCH_ROWS
        for start in range(0, count - size + 1 if batch else count, size):
            part = {name: values[start : start + size] for name, values in rows.items()}
            yield {**part, **session.run(part)}
    except MeasureFailed as error:
        raise PassFailed(f"quantize-static: {error}; leave rounding = 'nearest'") from error
