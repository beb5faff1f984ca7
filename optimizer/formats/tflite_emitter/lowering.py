"""The state of one emission, and the moves that every lowering shares: reading values, changing their layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.errors import UnsupportedOperator
from optimizer.formats.tflite_emitter.layout import INSERTED, Axes, Value, arranged, channel_last, keeps_order, plain
from optimizer.formats.tflite_emitter.onnx_graph import Activation, OnnxGraph, Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.writer import TfliteWriter

_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax"})


class Lowering:
    """One graph on its way into one file: which tensor holds which value so far."""

    def __init__(self, graph: OnnxGraph, writer: TfliteWriter) -> None:
        """Begin with nothing lowered."""
        self.graph = graph
        self.writer = writer
        self.schema = writer.schema
        self._values: dict[str, Value] = {}
        self._non_negative: set[str] = set()

    # reading

    def value(self, name: str) -> Value:
        """Return where the value lies; a constant gets a tensor of its own."""
        if name not in self._values:
            array = self.graph.constants[name].astype(np.float32)
            tensor = self.writer.add_constant(name, array)
            self._values[name] = Value(tensor=tensor, shape=array.shape, axes=plain(array.ndim))
        return self._values[name]

    def constant(self, operation: Operation, place: int) -> NDArray[Any]:
        """Return the constant at that input.

        Raises:
            UnsupportedOperator: it is computed.
        """
        name = operation.input(place)
        if name not in self.graph.constants:
            raise self.refusal(operation, f"its input {place} ({name!r}) is computed; it must be a constant")
        return self.graph.constants[name]

    def shape(self, operation: Operation, name: str) -> tuple[int, ...]:
        """Return the logical shape of a value, batch 1.

        Raises:
            UnsupportedOperator: it is not known before running.
        """
        if name not in self.graph.shapes:
            raise self.refusal(operation, f"the shape of {name!r} depends on the data")
        return self.graph.shapes[name]

    def is_non_negative(self, name: str) -> bool:
        """Return whether the value is known to hold no negative number."""
        return name in self._non_negative

    def refusal(self, operation: Operation, reason: str) -> UnsupportedOperator:
        """Return the error that names the operation and why it can't be written."""
        from optimizer.formats.tflite_emitter.table import SUPPORTED

        return UnsupportedOperator(operation.op, operation.name, reason=reason, supported=SUPPORTED)

    # writing

    def define(self, operation: Operation, value: Value) -> None:
        """Record the operation's first output."""
        self._values[operation.output] = value
        clipped = operation.activation in (Activation.RELU, Activation.RELU6)
        kept = operation.op in ("MaxPool", "Reshape", "Flatten") and self.is_non_negative(operation.input(0))
        if clipped or kept or operation.op in _NEVER_NEGATIVE:
            self._non_negative.add(operation.output)

    def define_input(self, name: str, value: Value) -> None:
        """Record an input of the graph."""
        self._values[name] = value

    def compute(
        self,
        code: str,
        inputs: Sequence[int],
        result: str,
        *,
        stored: Sequence[int],
        options: object = None,
        version: int = 1,
    ) -> int:
        """Append an operator with one new output tensor of that stored shape; return its number."""
        output = self.writer.add_tensor(result, stored)
        self.writer.add_operator(code, inputs, (output,), options=options, version=version)
        return output

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

    def as_plain(self, value: Value) -> Value:
        """Return the value with nothing moved, columns included."""
        if value.columns is not None:
            value = self._unscrambled(value)
        return self.with_axes(value, plain(len(value.shape)))

    def with_axes(self, value: Value, axes: Axes) -> Value:
        """Return the value in that order: as it is, by RESHAPE where no data moves, else by TRANSPOSE."""
        if value.columns is not None:
            value = self._unscrambled(value)
        if value.axes == axes:
            return value
        if keeps_order(value.shape, value.axes, axes):
            return self._reshaped(value, axes)
        bare = tuple(axis for axis in value.axes if axis != INSERTED)
        if bare != value.axes:
            value = self._reshaped(value, bare)
        wanted = tuple(axis for axis in axes if axis != INSERTED)
        permutation = np.asarray([value.axes.index(axis) for axis in wanted], dtype=np.int32)
        order = self.writer.add_constant("permutation", permutation)
        stored = arranged(value.shape, wanted)
        tensor = self.compute(
            "TRANSPOSE", (value.tensor, order), "transposed", stored=stored, options=self.schema.TransposeOptionsT()
        )
        moved = Value(tensor=tensor, shape=value.shape, axes=wanted)
        return moved if wanted == axes else self._reshaped(moved, axes)

    def reshape_tensor(self, tensor: int, stored: Sequence[int], name: str) -> int:
        """Append a RESHAPE that leaves the batch open where it is 1; return the new tensor."""
        target = [-1, *stored[1:]] if stored and stored[0] == 1 else list(stored)
        shape = self.writer.add_constant("shape", np.asarray(target, dtype=np.int32))
        options = self.schema.ReshapeOptionsT()
        options.newShape = target
        return self.compute("RESHAPE", (tensor, shape), name, stored=stored, options=options)

    def _reshaped(self, value: Value, axes: Axes) -> Value:
        tensor = self.reshape_tensor(value.tensor, arranged(value.shape, axes), "reshaped")
        return Value(tensor=tensor, shape=value.shape, axes=axes)

    def _unscrambled(self, value: Value) -> Value:
        """Return the flattened value with its columns in ONNX's order, by GATHER."""
        if value.columns is None:
            return value
        options = self.schema.GatherOptionsT()
        options.axis = 1
        places = self.writer.add_constant("columns", np.argsort(value.columns).astype(np.int32))
        tensor = self.compute("GATHER", (value.tensor, places), "ordered", stored=value.shape, options=options)
        return Value(tensor=tensor, shape=value.shape, axes=value.axes)
