"""Normalizations by statistics of the value itself.

Layer normalization is MEAN, SUB, MUL, MEAN, ADD, RSQRT and MUL: the variance and its epsilon as one FULLY_CONNECTED
would be an operator less, but was slower wherever it was measured. Factor and offset cost an operator each where a
rewrite could not fold them away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.layout import Axes, Value, arrange, arranged, plain
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_KEEPS_RANK_VERSION = 5
_LEAST_IMAGE_RANK = 3
_SMALLEST = float(np.finfo(np.float32).tiny)


class _Chain:
    """Operators one after another on one value, for one operation; the last gives the operation's output."""

    def __init__(self, operation: Operation, lowering: Lowering, value: Value) -> None:
        self.operation, self.lowering, self.value = operation, lowering, value

    def mean(self, value: Value, axes: Axes, *, name: str) -> Value:
        """Return the mean over those logical axes, which stay with size 1."""
        options = self.lowering.schema.ReducerOptionsT()
        options.keepDims = True
        places = self.lowering.numbers([place for place, axis in enumerate(value.axes) if axis in axes], "axes")
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
        return self._step("MEAN", (value.tensor, places), value, name, shape=shape, options=options)

    def binary(self, code: str, left: Value, right: Value | NDArray[Any], *, name: str) -> Value:
        """Return ADD, SUB, MUL or DIV of a value and one that broadcasts to it: a value, or a constant of its rank."""
        tensor = right.tensor if isinstance(right, Value) else self.constant(left, right, name=name)
        options = getattr(self.lowering.schema, f"{code.capitalize()}OptionsT")()
        return self._step(code, (left.tensor, tensor), left, name, options=options)

    def unary(self, code: str, value: Value, *, name: str) -> Value:
        """Return an operator without parameters of the value."""
        return self._step(code, (value.tensor,), value, name)

    def at_least(self, number: float, value: Value, *, name: str) -> Value:
        """Return the larger of the number and each element; NaN, the second of a MAXIMUM, stays NaN."""
        least = self.constant(value, np.full((1,) * len(value.shape), number), name=name)
        options = self.lowering.schema.MaximumMinimumOptionsT()
        return self._step("MAXIMUM", (least, value.tensor), value, name, options=options)

    def constant(self, like: Value, array: NDArray[Any], *, name: str) -> int:
        """Return the tensor of a constant of the value's rank, laid out as the value."""
        stored = arrange(array, like.axes).astype(np.float32)
        leading = next((place for place, size in enumerate(stored.shape) if size > 1), stored.ndim - 1)
        stored = stored.reshape(stored.shape[leading:])
        return self.lowering.writer.add_constant(f"{self.operation.output}/{name}/constant", stored)

    def variance(self, centered: Value, axes: Axes, epsilon: float) -> Value:
        """Return the mean square over those axes, plus epsilon."""
        square = self.binary("MUL", centered, centered, name="square")
        mean = self.mean(square, axes, name="mean_square")
        return self.binary("ADD", mean, np.full((1,) * len(mean.shape), epsilon), name="variance")

    def averaged(self, value: Value, groups: int, added: float, *, name: str) -> Value:
        """Return, channel-last, the mean of each channel's group instead of the channel's own number, plus a number."""
        channels = value.shape[1]
        places = np.arange(channels) // (channels // groups)
        weights = (places[:, None] == places[None, :]).astype(np.float32) * np.float32(groups / channels)
        options = self.lowering.schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        label = f"{self.operation.output}/{name}"
        inputs = (
            value.tensor,
            self.lowering.writer.add_constant(f"{label}/weights", weights),
            self.lowering.writer.add_constant(f"{label}/bias", np.full(channels, added, dtype=np.float32)),
        )
        return self._step("FULLY_CONNECTED", inputs, value, name, options=options, version=_KEEPS_RANK_VERSION)

    def affine(self, value: Value, factor: NDArray[Any] | None, offset: NDArray[Any] | None) -> Value:
        """Return the value times a factor plus an offset, constants of its rank; what changes nothing is left out."""
        if factor is not None and bool((factor != 1).any()):
            value = self.binary("MUL", value, factor, name="scaled")
        if offset is not None and bool(offset.any()):
            value = self.binary("ADD", value, offset, name="shifted")
        return value

    def finish(self, value: Value) -> None:
        """Say that the value is the operation's result."""
        self.lowering.define(self.operation, value.tensor, axes=value.axes)

    def _step(
        self,
        code: str,
        inputs: tuple[int, ...],
        like: Value,
        name: str,
        *,
        shape: tuple[int, ...] | None = None,
        options: object = None,
        version: int = 1,
    ) -> Value:
        logical = like.shape if shape is None else shape
        label = f"{self.operation.output}/{name}"
        stored = arranged(logical, like.axes)
        tensor = self.lowering.step(code, inputs, label, shape=stored, options=options, version=version)
        return Value(tensor=tensor, shape=logical, axes=like.axes, element=like.element, batch=like.batch)


def lower_layer_normalization(operation: Operation, lowering: Lowering) -> None:
    """Write LayerNormalization over the last axes; ``centered`` says that the mean is known to be 0."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    rank = len(value.shape)
    axes = plain(rank)[operation.integer("axis", -1) % rank :]
    if any(name for name in operation.outputs[1:]):
        raise lowering.refusal(operation, "its mean or its deviation is read; its first output alone is written")
    chain = _Chain(operation, lowering, value)
    centered = value
    if not operation.integer("centered", 0):
        centered = chain.binary("SUB", value, chain.mean(value, axes, name="mean"), name="centered")
    _normalized(chain, centered, axes)


def lower_rms_normalization(operation: Operation, lowering: Lowering) -> None:
    """Write RMSNormalization over the last axes."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    rank = len(value.shape)
    _normalized(_Chain(operation, lowering, value), value, plain(rank)[operation.integer("axis", -1) % rank :])


def lower_instance_normalization(operation: Operation, lowering: Lowering) -> None:
    """Write InstanceNormalization in whatever layout the value has."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    if len(value.shape) < _LEAST_IMAGE_RANK:
        raise lowering.refusal(operation, f"its input has rank {len(value.shape)}; images and lines are written")
    _by_channel(_Chain(operation, lowering, value), groups=value.shape[1])


def lower_group_normalization(operation: Operation, lowering: Lowering) -> None:
    """Write GroupNormalization channel-last: a channel's statistics become its group's by FULLY_CONNECTED."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    rank = len(value.shape)
    if rank < _LEAST_IMAGE_RANK:
        raise lowering.refusal(operation, f"its input has rank {rank}; images and lines are written")
    if value.axes[-1] != 1:
        value = lowering.with_axes(value, (0, *range(2, rank), 1))
    _by_channel(_Chain(operation, lowering, value), groups=operation.integer("num_groups", 1))


def _by_channel(chain: _Chain, *, groups: int) -> None:
    """Normalize each group of channels over its pixels; factor and offset are constants by channel, or by group."""
    operation, value, rank = chain.operation, chain.value, len(chain.value.shape)
    axes, channels = plain(rank)[2:], chain.value.shape[1]
    means = chain.mean(value, axes, name="mean")
    if groups < channels:
        means = chain.averaged(means, groups, 0.0, name="group_mean")
    centered = chain.binary("SUB", value, means, name="centered")
    spread = chain.mean(chain.binary("MUL", centered, centered, name="square"), axes, name="mean_square")
    epsilon = operation.number("epsilon", 1e-5)
    if groups < channels:
        spread = chain.averaged(spread, groups, epsilon, name="variance")
    else:
        spread = chain.binary("ADD", spread, np.full((1,) * rank, epsilon), name="variance")
    given = [chain.lowering.constant(operation, place) for place in (1, 2)]
    factor, offset = (
        np.repeat(row, channels // row.size if row.size == groups else 1).reshape(1, -1, *(1,) * (rank - 2))
        for row in given
    )
    scale = chain.affine(chain.unary("RSQRT", spread, name="scale"), factor, None)
    chain.finish(chain.affine(chain.binary("MUL", centered, scale, name="normalized"), None, offset))


def lower_lp_normalization(operation: Operation, lowering: Lowering) -> None:
    """Write LpNormalization: x / |x| over one axis; zeros have no direction and stay zeros, as in ONNX Runtime."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    rank = len(value.shape)
    axis, power = operation.integer("axis", -1) % rank, operation.integer("p", 2)
    chain = _Chain(operation, lowering, value)
    powers = chain.unary("ABS", value, name="power") if power == 1 else chain.binary("MUL", value, value, name="power")
    options = lowering.schema.ReducerOptionsT()
    options.keepDims = True
    places = lowering.numbers([value.axes.index(axis)], "axes")
    shape = tuple(1 if place == axis else size for place, size in enumerate(value.shape))
    label = f"{operation.output}/sum"
    tensor = lowering.step("SUM", (powers.tensor, places), label, shape=arranged(shape, value.axes), options=options)
    total = Value(tensor=tensor, shape=shape, axes=value.axes, batch=value.batch)
    length = total if power == 1 else chain.unary("SQRT", total, name="length")
    chain.finish(chain.binary("DIV", value, chain.at_least(_SMALLEST, length, name="divisor"), name="unit"))


def lower_mean_variance_normalization(operation: Operation, lowering: Lowering) -> None:
    """Write MeanVarianceNormalization: (x - mean) / (deviation + 1e-9)."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    rank = len(value.shape)
    axes = tuple(axis % rank for axis in operation.integers("axes", (0, 2, 3)))
    if value.batch in axes:
        raise lowering.refusal(operation, "its mean runs over the batch; export a fixed batch")
    chain = _Chain(operation, lowering, value)
    centered = chain.binary("SUB", value, chain.mean(value, axes, name="mean"), name="centered")
    square = chain.binary("MUL", centered, centered, name="square")
    deviation = chain.unary("SQRT", chain.mean(square, axes, name="variance"), name="deviation")
    safe = chain.binary("ADD", deviation, np.full((1,) * rank, 1e-9), name="safe")
    chain.finish(chain.binary("DIV", centered, safe, name="normalized"))


def _normalized(chain: _Chain, centered: Value, axes: Axes) -> None:
    """Finish with centered x rsqrt(mean square + epsilon) x factor + offset."""
    operation, lowering, rank = chain.operation, chain.lowering, len(centered.shape)
    scale = chain.unary("RSQRT", chain.variance(centered, axes, operation.number("epsilon", 1e-5)), name="scale")
    done = chain.binary("MUL", centered, scale, name="normalized")
    factor, offset = (
        _raised(lowering.constant(operation, place), rank) if operation.input(place) else None for place in (1, 2)
    )
    chain.finish(chain.affine(done, factor, offset))


def _raised(array: NDArray[Any], rank: int) -> NDArray[Any]:
    return array.reshape((1,) * (rank - array.ndim) + array.shape)


ENTRIES: Mapping[str, Entry] = {
    "GroupNormalization": Entry(
        lower=lower_group_normalization, writes=("MEAN", "FULLY_CONNECTED", "SUB", "MUL", "RSQRT"), image=True
    ),
    "InstanceNormalization": Entry(
        lower=lower_instance_normalization, writes=("MEAN", "SUB", "MUL", "RSQRT"), any_layout=True
    ),
    "LayerNormalization": Entry(
        lower=lower_layer_normalization,
        writes=("MEAN", "SUB", "MUL", "ADD", "RSQRT"),
        limits="its first output",
        any_layout=True,
    ),
    "LpNormalization": Entry(lower=lower_lp_normalization, writes=("SUM", "SQRT", "MAXIMUM", "DIV"), any_layout=True),
    "MeanVarianceNormalization": Entry(
        lower=lower_mean_variance_normalization, writes=("MEAN", "SUB", "SQRT", "DIV"), any_layout=True
    ),
    "RMSNormalization": Entry(lower=lower_rms_normalization, writes=("MUL", "MEAN", "ADD", "RSQRT"), any_layout=True),
}
