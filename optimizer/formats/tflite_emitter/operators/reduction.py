"""Operators over whole axes: sums, means, norms, the largest and its place, running sums, global pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.layout import INSERTED, Axes, Value, arranged, channel_last
from optimizer.formats.tflite_emitter.operators.elementwise.formula import Formula, require
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_CODES: Final = {
    "ReduceMax": "REDUCE_MAX",
    "ReduceMean": "MEAN",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
    "ReduceSum": "SUM",
}
_ARGUMENTS: Final = {"ArgMax": "ARG_MAX", "ArgMin": "ARG_MIN"}
_NUMBERS: Final = ("float32", "float64", "int32", "int64")
_FLOATS: Final = ("float32", "float64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """What is reduced: the value as it lies, the logical axes that go, and whether they stay as axes of size 1."""

    value: Value
    axes: Axes
    keeps: bool

    @property
    def places(self) -> tuple[int, ...]:
        """The axes of the tensor that are reduced; an inserted one goes with them where axes are dropped."""
        return tuple(
            place
            for place, axis in enumerate(self.value.axes)
            if axis in self.axes or (axis == INSERTED and not self.keeps)
        )

    @property
    def axes_after(self) -> Axes:
        """The order of the result's axes."""
        if self.keeps:
            return self.value.axes
        left = [axis for axis in range(len(self.value.shape)) if axis not in self.axes]
        return tuple(left.index(axis) for axis in self.value.axes if axis in left)

    @property
    def shape_after(self) -> tuple[int, ...]:
        """Shape of the result's tensor."""
        sizes = enumerate(self.value.stored_shape)
        if self.keeps:
            return tuple(1 if place in self.places else size for place, size in sizes)
        return tuple(size for place, size in sizes if place not in self.places)


class Reduction:
    """One reducing operation in the making: steps before, over and after its axes."""

    def __init__(self, operation: Operation, lowering: Lowering, over: Over) -> None:
        """Begin with the input as it lies."""
        self._operation, self._lowering, self.over = operation, lowering, over
        self.tensor = over.value.tensor
        self.before = Formula.of_tensors(
            operation, lowering, tensors=(self.tensor,), shape=over.value.stored_shape, axes=over.value.axes
        )

    def reduced(self, code: str, tensor: int, *, keeps: bool | None = None) -> int:
        """Append the reduction of a tensor that lies as the input does; return its result."""
        over = replace(self.over, keeps=self.over.keeps if keeps is None else keeps)
        if not over.places:
            return tensor
        return self._lowering.step(
            code,
            (tensor, self._lowering.numbers(over.places, "axes")),
            f"{self._operation.output}/{code.lower()}",
            shape=over.shape_after,
            element=self.before.element,
            options=self._options(keeps=over.keeps),
        )

    def result(self, code: str, tensor: int) -> None:
        """Append the reduction that gives the operation's result; without axes the tensor is it already."""
        over = self.over
        if not over.axes:
            self._lowering.define(self._operation, tensor, axes=over.value.axes)
            return
        inputs = (tensor, self._lowering.numbers(over.places, "axes"))
        options = self._options(keeps=over.keeps)
        self._lowering.write(self._operation, code, inputs, axes=over.axes_after, options=options)

    def after(self, *tensors: int) -> Formula:
        """Return a formula over reduced tensors, which gives the operation's result."""
        over = self.over
        return Formula.of_tensors(
            self._operation, self._lowering, tensors=tensors, shape=over.shape_after, axes=over.axes_after
        )

    def _options(self, *, keeps: bool) -> object:
        options = self._lowering.schema.ReducerOptionsT()
        options.keepDims = keeps
        return options


def lower_reduce(operation: Operation, lowering: Lowering) -> None:
    """Write ReduceSum, Mean, Max, Min and Prod over any axes."""
    require(operation, lowering, served=_NUMBERS)
    reduction = _reduction(operation, lowering)
    reduction.result(_CODES[operation.op], reduction.tensor)


def lower_norm(operation: Operation, lowering: Lowering) -> None:
    """Write ReduceL1, ReduceL2 and ReduceSumSquare as the sum of absolute values or squares."""
    require(operation, lowering, served=_FLOATS if operation.op == "ReduceL2" else (*_FLOATS, "int32"))
    reduction = _reduction(operation, lowering)
    if operation.op == "ReduceSumSquare":
        reduction.result("SUM", reduction.before.step("MUL", reduction.tensor, reduction.tensor))
    else:
        _norm(reduction, power=1 if operation.op == "ReduceL1" else 2)


def lower_log_sum(operation: Operation, lowering: Lowering) -> None:
    """Write ReduceLogSum: the logarithm of a sum."""
    require(operation, lowering, served=_FLOATS)
    reduction = _reduction(operation, lowering)
    total = reduction.reduced("SUM", reduction.tensor)
    reduction.after(total).result("LOG", total)


def lower_log_sum_exp(operation: Operation, lowering: Lowering) -> None:
    """Write ReduceLogSumExp, relative to the largest value, so that nothing overflows."""
    require(operation, lowering, served=_FLOATS)
    reduction = _reduction(operation, lowering)
    before, kept = reduction.before, replace(reduction.over, keeps=True)
    largest = before.beside(reduction.reduced("REDUCE_MAX", reduction.tensor, keeps=True), kept.shape_after)
    total = reduction.reduced("SUM", before.step("EXP", before.step("SUB", reduction.tensor, largest)))
    offset = largest if reduction.over.keeps else reduction.reduced("REDUCE_MAX", reduction.tensor)
    after = reduction.after(total, offset)
    after.result("ADD", after.step("LOG", total), offset)


def lower_global_average(operation: Operation, lowering: Lowering) -> None:
    """Write GlobalAveragePool as MEAN over the image, wherever its axes lie."""
    reduction = _over_image(operation, lowering)
    reduction.result("MEAN", reduction.tensor)


def lower_global_max(operation: Operation, lowering: Lowering) -> None:
    """Write GlobalMaxPool: of a channel-last image as one window, which ai-edge-quantizer knows, else REDUCE_MAX."""
    reduction = _over_image(operation, lowering)
    value = reduction.over.value
    if len(value.stored_shape) != 4 or value.axes != channel_last(len(value.shape)):
        reduction.result("REDUCE_MAX", reduction.tensor)
        return
    options = lowering.schema.Pool2DOptionsT()
    options.padding = lowering.schema.Padding.VALID
    options.filterHeight, options.filterWidth = value.stored_shape[1:3]
    options.strideH = options.strideW = 1
    lowering.write(operation, "MAX_POOL_2D", (value.tensor,), axes=value.axes, options=options)


def lower_global_lp(operation: Operation, lowering: Lowering) -> None:
    """Write GlobalLpPool: the norm of each channel."""
    _norm(_over_image(operation, lowering), power=operation.integer("p", 2))


def lower_argument(operation: Operation, lowering: Lowering) -> None:
    """Write ArgMax and ArgMin; the last of equals is the first of the reversed axis, counted from its end."""
    require(operation, lowering, served=(*_FLOATS, "int32", "int8", "uint8"))
    value, fact = lowering.in_order(lowering.value(operation.input(0))), lowering.result(operation)
    if not value.shape:
        raise lowering.refusal(operation, "its input is a single number")
    axis = operation.integer("axis", 0) % len(value.shape)
    left = tuple(other - (other > axis) for other in value.axes if other != axis)
    shape = tuple(size for other, size in zip(value.axes, value.stored_shape, strict=True) if other != axis)
    if operation.integer("select_last_index", 0):
        found = _last_of_equals(operation, lowering, value, axis=axis, shape=shape)
    else:
        found = _first_of_equals(operation, lowering, value, axis=axis, shape=shape)
    if operation.integer("keepdims", 1) == 1:
        left = value.axes
        batch = None if fact.batch is None else left.index(fact.batch)
        shape = arranged(fact.shape, left)
        found = lowering.reshape_tensor(found, shape, operation.output, batch=batch, element=fact.element)
    lowering.define(operation, found, axes=left)


def lower_cumulative_sum(operation: Operation, lowering: Lowering) -> None:
    """Write CumSum along a constant axis."""
    require(operation, lowering, served=_NUMBERS)
    value = lowering.in_order(lowering.value(operation.input(0)))
    axis = int(lowering.constant(operation, 1).item()) % len(value.shape)
    options = lowering.schema.CumsumOptionsT()
    options.exclusive, options.reverse = (bool(operation.integer(name, 0)) for name in ("exclusive", "reverse"))
    place = lowering.writer.add_constant("axis", np.asarray(value.axes.index(axis), dtype=np.int32))
    lowering.write(operation, "CUMSUM", (value.tensor, place), axes=value.axes, options=options)


def _reduction(operation: Operation, lowering: Lowering) -> Reduction:
    """Return the reduction over the axes that the operation names; over all where it names none."""
    value = lowering.value(operation.input(0))
    rank = len(value.shape)
    given = lowering.parameter(operation, 1, "axes")
    axes = tuple(sorted({int(axis) % rank for axis in given.reshape(-1)})) if given is not None else ()
    if not axes and not operation.integer("noop_with_empty_axes", 0):
        axes = tuple(range(rank))
    if value.columns is not None and 1 in axes:
        value = replace(value, columns=None)
    over = Over(value=lowering.in_order(value), axes=axes, keeps=operation.integer("keepdims", 1) == 1)
    return Reduction(operation, lowering, over)


def _over_image(operation: Operation, lowering: Lowering) -> Reduction:
    """Return the reduction over all axes but the first two."""
    require(operation, lowering, served=_FLOATS)
    value = lowering.in_order(lowering.value(operation.input(0)))
    return Reduction(operation, lowering, Over(value=value, axes=tuple(range(2, len(value.shape))), keeps=True))


def _norm(reduction: Reduction, *, power: int) -> None:
    """Append the sum of absolute values to that power, and its root."""
    before, tensor = reduction.before, reduction.tensor
    if power == 1:
        reduction.result("SUM", before.step("ABS", tensor))
    elif power == 2:
        total = reduction.reduced("SUM", before.step("MUL", tensor, tensor))
        reduction.after(total).result("SQRT", total)
    else:
        powers = before.step("POW", before.step("ABS", tensor), before.number(power))
        total = reduction.reduced("SUM", powers)
        after = reduction.after(total)
        after.result("POW", total, after.number(1 / power))


def _first_of_equals(
    operation: Operation, lowering: Lowering, value: Value, *, axis: int, shape: tuple[int, ...]
) -> int:
    """Append ARG_MAX or ARG_MIN, whose results are int64; return its result."""
    code, kind = _ARGUMENTS[operation.op], "ArgMax" if operation.op == "ArgMax" else "ArgMin"
    options = getattr(lowering.schema, f"{kind}OptionsT")()
    options.outputType = lowering.schema.TensorType.INT64
    place = lowering.writer.add_constant("axis", np.asarray(value.axes.index(axis), dtype=np.int32))
    name = f"{operation.output}/place"
    return lowering.step(code, (value.tensor, place), name, shape=shape, element=np.int64, options=options)


def _last_of_equals(
    operation: Operation, lowering: Lowering, value: Value, *, axis: int, shape: tuple[int, ...]
) -> int:
    """Append the same of the reversed axis, and its distance from the axis's end."""
    if axis == value.batch:
        raise lowering.refusal(operation, "it wants the last of equals along the batch; export a fixed batch")
    reversed_tensor = lowering.step(
        "REVERSE_V2",
        (value.tensor, lowering.numbers([value.axes.index(axis)], "axes")),
        f"{operation.output}/reversed",
        shape=value.stored_shape,
        element=value.element,
        options=lowering.schema.ReverseV2OptionsT(),
    )
    found = _first_of_equals(operation, lowering, replace(value, tensor=reversed_tensor), axis=axis, shape=shape)
    end = np.full((1,) if shape else (), value.shape[axis] - 1, dtype=np.int64)
    inputs = (lowering.writer.add_constant("end", end), found)
    name = f"{operation.output}/last"
    options = lowering.schema.SubOptionsT()
    return lowering.step("SUB", inputs, name, shape=shape, element=np.int64, options=options)


ENTRIES: Mapping[str, Entry] = {
    **{op: Entry(lower=lower_argument, writes=(code,), limits="not of int64") for op, code in _ARGUMENTS.items()},
    **{op: Entry(lower=lower_reduce, writes=(code,), any_layout=True) for op, code in _CODES.items()},
    "CumSum": Entry(lower=lower_cumulative_sum, writes=("CUMSUM",), any_layout=True, limits="along a constant axis"),
    "GlobalAveragePool": Entry(lower=lower_global_average, writes=("MEAN",), any_layout=True),
    "GlobalLpPool": Entry(lower=lower_global_lp, writes=("ABS", "MUL", "POW", "SUM", "SQRT"), any_layout=True),
    "GlobalMaxPool": Entry(lower=lower_global_max, writes=("MAX_POOL_2D", "REDUCE_MAX"), any_layout=True),
    "ReduceL1": Entry(lower=lower_norm, writes=("ABS", "SUM"), any_layout=True),
    "ReduceL2": Entry(lower=lower_norm, writes=("MUL", "SUM", "SQRT"), any_layout=True),
    "ReduceLogSum": Entry(lower=lower_log_sum, writes=("SUM", "LOG"), any_layout=True),
    "ReduceLogSumExp": Entry(
        lower=lower_log_sum_exp, writes=("REDUCE_MAX", "SUB", "EXP", "SUM", "LOG", "ADD"), any_layout=True
    ),
    "ReduceSumSquare": Entry(lower=lower_norm, writes=("MUL", "SUM"), any_layout=True),
}
