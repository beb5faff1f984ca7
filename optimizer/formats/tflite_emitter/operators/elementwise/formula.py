"""Short formulas of TFLite operators, one after the other, over tensors of one layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.operators.elementwise.broadcasting import Aligned

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import DTypeLike

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.layout import Axes, Value
    from optimizer.formats.tflite_emitter.lowering import Lowering

_OPTIONS = {
    "ABS": "Abs",
    "ADD": "Add",
    "BITWISE_XOR": "BitwiseXor",
    "CAST": "Cast",
    "COS": "Cos",
    "DIV": "Div",
    "EQUAL": "Equal",
    "EXP": "Exp",
    "FLOOR_MOD": "FloorMod",
    "GELU": "Gelu",
    "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterEqual",
    "HARD_SWISH": "HardSwish",
    "LEAKY_RELU": "LeakyRelu",
    "LESS": "Less",
    "LESS_EQUAL": "LessEqual",
    "LOGICAL_AND": "LogicalAnd",
    "LOGICAL_NOT": "LogicalNot",
    "LOGICAL_OR": "LogicalOr",
    "LOG_SOFTMAX": "LogSoftmax",
    "MAXIMUM": "MaximumMinimum",
    "MINIMUM": "MaximumMinimum",
    "MUL": "Mul",
    "NEG": "Neg",
    "NOT_EQUAL": "NotEqual",
    "POW": "Pow",
    "SELECT_V2": "SelectV2",
    "SIGN": "Sign",
    "SUB": "Sub",
}
"""The option tables of operators that have one; the others take none."""


class Formula:
    """One operation's result in the making: each step is an operator over tensors that broadcast together."""

    def __init__(self, operation: Operation, lowering: Lowering, inputs: Aligned) -> None:
        """Begin with the operation's inputs in one layout."""
        self._operation = operation
        self._lowering = lowering
        self._shapes = dict(zip(inputs.tensors, inputs.shapes, strict=True))
        self.inputs = inputs
        self.element = _float(lowering.fact(operation, operation.input(0)).element)

    @classmethod
    def of_one(cls, operation: Operation, lowering: Lowering) -> Formula:
        """Begin with the first input alone, in whatever layout it has."""
        value: Value = lowering.value(operation.input(0))
        inputs = Aligned(tensors=(value.tensor,), shapes=(value.stored_shape,), axes=value.axes, columns=value.columns)
        return cls(operation, lowering, inputs)

    @classmethod
    def of_tensors(
        cls, operation: Operation, lowering: Lowering, *, tensors: Sequence[int], shape: Sequence[int], axes: Axes
    ) -> Formula:
        """Begin with tensors that were computed for the operation, all of that stored shape and order of axes."""
        inputs = Aligned(tensors=tuple(tensors), shapes=(tuple(shape),) * len(tensors), axes=axes)
        return cls(operation, lowering, inputs)

    def number(self, number: float, *, element: DTypeLike | None = None) -> int:
        """Return the tensor of one number, of the first input's type unless another is named."""
        shape = () if not self.inputs.axes else (1,)
        array: np.ndarray[Any, Any] = np.full(shape, number, dtype=element or self.element)
        tensor = self._lowering.writer.add_constant("number", array)
        self._shapes[tensor] = shape
        return tensor

    def beside(self, tensor: int, shape: Sequence[int]) -> int:
        """Take in another tensor, of that stored shape, that broadcasts with the inputs; return it."""
        self._shapes[tensor] = tuple(shape)
        return tensor

    def step(
        self,
        code: str,
        *inputs: int,
        element: DTypeLike | None = None,
        activation: Activation = Activation.NONE,
        alpha: float | None = None,
    ) -> int:
        """Append an operator; return its result's tensor, of the first input's type unless another is named."""
        shape = np.broadcast_shapes(*(self._shapes[tensor] for tensor in inputs))
        tensor = self._lowering.step(
            code,
            inputs,
            f"{self._operation.output}/{code.lower()}",
            shape=shape,
            element=element or self.element,
            options=self._options(code, activation=activation, alpha=alpha),
        )
        self._shapes[tensor] = shape
        return tensor

    def result(self, code: str, *inputs: int, activation: Activation | None = None, alpha: float | None = None) -> None:
        """Append the operator that gives the operation's result, with what was fused into it."""
        activation = self._operation.activation if activation is None else activation
        self._lowering.write(
            self._operation,
            code,
            inputs,
            axes=self.inputs.axes,
            columns=self.inputs.columns,
            options=self._options(code, activation=activation, alpha=alpha),
        )

    def done(self, tensor: int) -> None:
        """Record that the tensor is the operation's result."""
        self._lowering.define(self._operation, tensor, axes=self.inputs.axes, columns=self.inputs.columns)

    def _options(self, code: str, *, activation: Activation, alpha: float | None) -> object:
        if code not in _OPTIONS:
            return None
        options = getattr(self._lowering.schema, f"{_OPTIONS[code]}OptionsT")()
        if hasattr(options, "fusedActivationFunction"):
            options.fusedActivationFunction = activation.value
        if alpha is not None:
            options.alpha = alpha
        return options


def _float(element: np.dtype[Any]) -> np.dtype[Any]:
    """Return the element type, doubles as floats."""
    return np.dtype(np.float32) if element.kind == "f" else element


def require(operation: Operation, lowering: Lowering, *, served: Collection[str], place: int = 0) -> None:
    """Make sure that an input's elements are of one of those types.

    Raises:
        UnsupportedOperator: they are of another.
    """
    name = lowering.fact(operation, operation.input(place)).element.name
    if name not in served:
        written = ", ".join(sorted({*served} - {"float64"}))
        raise lowering.refusal(operation, f"it is of {name}; of {written} it is written: cast before it")


def of_floats(operation: Operation, lowering: Lowering) -> Formula:
    """Return a formula over the first input.

    Raises:
        UnsupportedOperator: it does not hold floats.
    """
    require(operation, lowering, served=("float32", "float64"))
    return Formula.of_one(operation, lowering)
