"""An ONNX graph as plain values: operations in order, constants folded, the facts of every value known."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, ...]


class Activation(Enum):
    """What an operation does to its result last; the values are TFLite's own numbers."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What is known of a value before running: its shape with a batch of 1, its element type, and where its batch lies.

    ``batch`` is the axis that grows with the batch (by a whole factor), None where no axis does or the batch is fixed.
    """

    shape: Shape
    element: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One ONNX node: ``op`` is its type, ``attributes`` its own, ``activation`` what was fused into it."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    activation: Activation = Activation.NONE

    @property
    def output(self) -> str:
        """Name of the first output that is not left out."""
        return next(filter(None, self.outputs), "")

    def input(self, place: int) -> str:
        """Return the name of the input at that place, or the empty string where it was left out."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self.attributes.get(name, default))

    def integers(self, name: str, default: Shape) -> Shape:
        """Return a list attribute of integers."""
        return tuple(int(number) for number in self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxGraph:
    """Operations in an order that can be run.

    ``facts`` names every value's, constants included. ``outputs`` pairs each public output name with the value that
    it shows. ``fixed_batch`` says why the batch is 1 and stays so; it is empty where the batch is free (or the model's
    own sizes are all fixed). ``batch_constants`` are constants that hold another value for another batch.
    """

    operations: tuple[Operation, ...]
    constants: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Fact]
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, str], ...]
    opset: int
    fixed_batch: str = ""
    batch_constants: frozenset[str] = frozenset()

    def uses(self) -> Counter[str]:
        """Count how often each value is read, by operations or as an output."""
        names = [name for operation in self.operations for name in operation.inputs if name]
        return Counter(names + [value for _, value in self.outputs])

    def with_operations(
        self,
        operations: Iterable[Operation],
        *,
        constants: Mapping[str, NDArray[Any]] | None = None,
        facts: Mapping[str, Fact] | None = None,
    ) -> OnnxGraph:
        """Return the graph with other operations; constants and facts are added, and new constants make their facts."""
        new = ((name, array) for name, array in (constants or {}).items() if self.constants.get(name) is not array)
        added = {name: Fact(shape=array.shape, element=array.dtype) for name, array in new}
        return dataclasses.replace(
            self,
            operations=tuple(operations),
            constants={**self.constants, **(constants or {})},
            facts={**self.facts, **added, **(facts or {})},
        )
