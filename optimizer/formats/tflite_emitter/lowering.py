"""The state of one emission, and the moves that every lowering shares: reading values, changing their layout, writing.

A lowering is a function of an operation and this state. It asks for its inputs (``value``, ``constant``,
``parameter``), for the order of axes that it can work with (``as_plain``, ``with_axes``, ``image``, ``alike``), and
writes: ``write`` for the operator that gives the operation's result, ``step`` for one before it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.errors import UnsupportedOperator
from optimizer.formats.tflite_emitter.forms import RecurrentForm
from optimizer.formats.tflite_emitter.graph import Fact, OnnxGraph, Operation
from optimizer.formats.tflite_emitter.layout import (
    INSERTED,
    Axes,
    Value,
    arrange,
    arranged,
    channel_last,
    keeps_order,
    plain,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from optimizer.formats.tflite_emitter.writer import TfliteWriter


class Lowering:
    """One graph on its way into one file: which tensor holds which value so far.

    ``moved`` names the Transpose and Reshape operations that put their data into ONNX's order at once; the others
    change the account of which axis lies where if that will do, and whoever needs another order moves the data then.
    ``open`` gathers those of them for which that makes a difference, as they were met.
    ``recurrent`` is the form that recurrent layers take where there are two.
    """

    def __init__(
        self,
        graph: OnnxGraph,
        writer: TfliteWriter,
        *,
        moved: Collection[str] = (),
        recurrent: RecurrentForm = RecurrentForm.SEQUENCE,
    ) -> None:
        """Begin with nothing lowered."""
        self.graph = graph
        self.writer = writer
        self.schema = writer.schema
        self.moved = frozenset(moved)
        self.open: set[str] = set()
        self.recurrent = recurrent
        self._values: dict[str, Value] = {}
        self._arrays: dict[int, NDArray[Any]] = {}

    # reading

    def value(self, name: str) -> Value:
        """Return where the value lies; a constant gets a tensor of its own.

        A constant that is repeated along the batch (``repeats``) has one row: whoever broadcasts need not care.
        """
        if name not in self._values:
            array = self.graph.constants[name]
            element = np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype
            self._values[name] = self._constant_value(name, array.astype(element, copy=False), plain(array.ndim))
        return self._values[name]

    def repeats(self, name: str) -> int | None:
        """Return the axis along which the batch repeats a constant; None for any other value."""
        return self.graph.facts[name].batch if name in self.graph.constants else None

    def _constant_value(self, name: str, array: NDArray[Any], axes: Axes) -> Value:
        stored = arrange(array, axes)
        tensor = self.writer.add_constant(name, stored)
        self._arrays[tensor] = stored
        return Value(tensor=tensor, shape=array.shape, axes=axes, element=array.dtype)

    def fact(self, operation: Operation, name: str) -> Fact:
        """Return shape at batch 1, element type and axis of the batch of a value.

        Raises:
            UnsupportedOperator: its shape is not known before running.
        """
        if name not in self.graph.facts:
            raise self.refusal(operation, f"the shape of {name!r} depends on the data")
        return self.graph.facts[name]

    def result(self, operation: Operation, place: int = 0) -> Fact:
        """Return the facts of one of the operation's outputs."""
        return self.fact(operation, operation.outputs[place])

    def shape(self, operation: Operation, name: str) -> tuple[int, ...]:
        """Return the logical shape of a value, batch 1.

        Raises:
            UnsupportedOperator: it is not known before running.
        """
        return self.fact(operation, name).shape

    def constant(self, operation: Operation, place: int) -> NDArray[Any]:
        """Return the constant at that input; of one that the batch repeats, one row.

        Raises:
            UnsupportedOperator: it is computed, or it depends on the batch.
        """
        name = operation.input(place)
        if name not in self.graph.constants:
            raise self.refusal(operation, f"its input {place} ({name!r}) is computed; it must be a constant")
        if name in self.graph.batch_constants:
            raise self.refusal(operation, f"its input {place} ({name!r}) depends on the batch; export a fixed batch")
        return self.graph.constants[name]

    def parameter(self, operation: Operation, place: int, attribute: str) -> NDArray[Any] | None:
        """Return what newer opsets take as an input and older ones as an attribute; None where it is left out.

        Raises:
            UnsupportedOperator: it is computed, or it depends on the batch.
        """
        if operation.input(place):
            return self.constant(operation, place)
        given = operation.attributes.get(attribute)
        return None if given is None else np.asarray(given)

    def is_constant(self, name: str) -> bool:
        """Return whether the value is a constant."""
        return name in self.graph.constants

    def refusal(self, operation: Operation, reason: str) -> UnsupportedOperator:
        """Return the error that names the operation and why it can't be written."""
        from optimizer.formats.tflite_emitter.table import refusal

        return refusal(operation, reason)

    # writing

    def write(
        self,
        operation: Operation,
        code: str,
        inputs: Sequence[int],
        *,
        axes: Axes,
        options: object = None,
        version: int = 1,
        columns: NDArray[np.int64] | None = None,
    ) -> Value:
        """Append the operator that gives the operation's first output, whose axes lie in that order; return it."""
        fact = self.result(operation)
        tensor = self.step(
            code,
            inputs,
            operation.outputs[0],
            shape=arranged(fact.shape, axes),
            element=fact.element,
            options=options,
            version=version,
        )
        return self.define(operation, tensor, axes=axes, columns=columns)

    def define(
        self,
        operation: Operation,
        tensor: int,
        *,
        axes: Axes,
        place: int = 0,
        columns: NDArray[np.int64] | None = None,
    ) -> Value:
        """Record that the tensor holds one of the operation's outputs, its axes in that order; return it."""
        fact = self.result(operation, place)
        value = Value(
            tensor=tensor, shape=fact.shape, axes=axes, columns=columns, element=fact.element, batch=fact.batch
        )
        self._values[operation.outputs[place]] = value
        self.writer.batches[tensor] = value.stored_batch
        return value

    def define_input(self, name: str, value: Value) -> None:
        """Record an input of the graph."""
        self._values[name] = value
        self.writer.batches[value.tensor] = value.stored_batch

    def step(
        self,
        code: str,
        inputs: Sequence[int],
        name: str,
        *,
        shape: Sequence[int],
        element: DTypeLike = np.float32,
        options: object = None,
        version: int = 1,
    ) -> int:
        """Append an operator with one new output tensor of that stored shape; return its number."""
        output = self.writer.add_tensor(name, shape, element)
        self.writer.add_operator(code, inputs, (output,), options=options, version=version)
        return output

    def steps(
        self,
        code: str,
        inputs: Sequence[int],
        names: Sequence[str],
        *,
        shapes: Sequence[Sequence[int]],
        element: DTypeLike = np.float32,
        options: object = None,
        version: int = 1,
    ) -> tuple[int, ...]:
        """Append an operator with several new output tensors; return their numbers."""
        outputs = tuple(self.writer.add_tensor(name, shape, element) for name, shape in zip(names, shapes, strict=True))
        self.writer.add_operator(code, inputs, outputs, options=options, version=version)
        return outputs

    def numbers(self, values: Sequence[int] | NDArray[Any], name: str = "numbers") -> int:
        """Return the tensor of an operator's integer parameter: axes, sizes, a permutation."""
        return self.writer.add_constant(name, np.asarray(values, dtype=np.int32))

    # layout

    def image(self, operation: Operation, place: int = 0) -> Value:
        """Return the input as (n, h, w, c); a line of rank 3 as an image of height 1.

        Raises:
            UnsupportedOperator: it is neither.
        """
        value = self.value(operation.input(place))
        if len(value.shape) not in (3, 4):
            raise self.refusal(operation, f"its input has rank {len(value.shape)}; 1-D and 2-D images are written")
        return self.with_axes(value, channel_last(len(value.shape)))

    def at_once(self, operation: Operation, value: Value) -> Value:
        """Return the value with nothing moved, where the operation is one that puts its data into order at once."""
        if value.axes != plain(len(value.shape)):
            self.open.add(operation.name)
        return self.as_plain(value) if operation.name in self.moved else value

    def as_plain(self, value: Value) -> Value:
        """Return the value with nothing moved, columns included."""
        return self.with_axes(value, plain(len(value.shape)))

    def in_order(self, value: Value) -> Value:
        """Return the value with its columns in ONNX's order, by GATHER, its axes as they lie."""
        if value.columns is None:
            return value
        options = self.schema.GatherOptionsT()
        options.axis = 1
        places = self.numbers(np.argsort(value.columns), "columns")
        tensor = self.step(
            "GATHER", (value.tensor, places), "ordered", shape=value.shape, element=value.element, options=options
        )
        return _like(value, tensor=tensor, axes=value.axes)

    def with_axes(self, value: Value, axes: Axes) -> Value:
        """Return the value in that order: as it is, by RESHAPE where no data moves, else by TRANSPOSE."""
        value = self.in_order(value)
        if value.axes == axes:
            return value
        if value.tensor in self._arrays:
            lying = tuple(axis for axis in value.axes if axis != INSERTED)
            stored = self._arrays[value.tensor].reshape(tuple(value.shape[axis] for axis in lying))
            return self._constant_value("arranged", stored.transpose(np.argsort(lying)), axes)
        if keeps_order(value.shape, value.axes, axes, batch=value.batch):
            return self._reshaped(value, axes)
        bare = tuple(axis for axis in value.axes if axis != INSERTED)
        if bare != value.axes:
            value = self._reshaped(value, bare)
        wanted = tuple(axis for axis in axes if axis != INSERTED)
        order = self.numbers([value.axes.index(axis) for axis in wanted], "permutation")
        tensor = self.step(
            "TRANSPOSE",
            (value.tensor, order),
            "transposed",
            shape=arranged(value.shape, wanted),
            element=value.element,
            options=self.schema.TransposeOptionsT(),
        )
        moved = _like(value, tensor=tensor, axes=wanted)
        self.writer.batches[tensor] = moved.stored_batch
        return moved if wanted == axes else self._reshaped(moved, axes)

    def reshape_tensor(
        self, tensor: int, shape: Sequence[int], name: str, *, batch: int | None, element: DTypeLike = np.float32
    ) -> int:
        """Return the tensor in that stored shape, its axis ``batch`` left open: by RESHAPE, a constant as another."""
        if tensor in self._arrays:
            stored = self._arrays[tensor].reshape(tuple(shape))
            reshaped = self.writer.add_constant(name, stored)
            self._arrays[reshaped] = stored
            return reshaped
        return self.copy_tensor(tensor, shape, name, batch=batch, element=element)

    def copy_tensor(
        self, tensor: int, shape: Sequence[int], name: str, *, batch: int | None, element: DTypeLike = np.float32
    ) -> int:
        """Append a RESHAPE to that stored shape, its axis ``batch`` left open; return the new tensor."""
        target = [-1 if axis == batch else int(size) for axis, size in enumerate(shape)]
        options = self.schema.ReshapeOptionsT()
        options.newShape = target
        inputs = (tensor, self.numbers(target, "shape"))
        reshaped = self.step("RESHAPE", inputs, name, shape=shape, element=element, options=options)
        self.writer.batches[reshaped] = batch
        return reshaped

    def _reshaped(self, value: Value, axes: Axes) -> Value:
        batch = None if value.batch is None else axes.index(value.batch)
        tensor = self.reshape_tensor(
            value.tensor, arranged(value.shape, axes), "reshaped", batch=batch, element=value.element
        )
        return _like(value, tensor=tensor, axes=axes)


def _like(value: Value, *, tensor: int, axes: Axes) -> Value:
    """Return the same value in another tensor, its columns in ONNX's order."""
    return Value(tensor=tensor, shape=value.shape, axes=axes, element=value.element, batch=value.batch)
