"""Operations being put in the place of one: each value they make gets a name and what is known of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, Operation

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.rewrites.editing import Editing
    from optimizer.formats.tflite_emitter.rewrites.linear import Linear


class Parts:
    """Operations that take the place of one: each value gets a name below the old output's."""

    def __init__(self, editing: Editing, operation: Operation) -> None:
        """Begin to replace the operation."""
        self.editing, self.operation = editing, operation
        self._made: list[Operation] = []

    def fact(self, name: str) -> Fact:
        """Return the fact of a value.

        Raises:
            LookupError: nothing is known of it.
        """
        fact = self.editing.fact(name)
        if fact is None:
            raise LookupError(name)
        return fact

    def put(self, op: str, *inputs: str, fact: Fact, **attributes: object) -> str:
        """Add an operation with a new output of that fact; return its name."""
        place = len(self._made)
        output = self.editing.put_fact(f"{self.operation.output}/part{place}", fact)
        name = f"{self.operation.name}/part{place}"
        self._made.append(Operation(op=op, name=name, inputs=inputs, outputs=(output,), attributes=attributes))
        return output

    def transpose(self, name: str, order: tuple[int, ...]) -> str:
        """Return the value with its axes in another order."""
        if order == tuple(range(len(order))):
            return name
        constant = self.editing.constant(name)
        if constant is not None:
            return self.editing.put_constant(f"{name}/turned", constant.transpose(order))
        fact = self.fact(name)
        batch = None if fact.batch is None else order.index(fact.batch)
        turned = Fact(shape=tuple(fact.shape[axis] for axis in order), element=fact.element, batch=batch)
        return self.put("Transpose", name, fact=turned, perm=order)

    def reshape(self, name: str, fact: Fact) -> str:
        """Return the value in another shape."""
        if fact.shape == self.fact(name).shape:
            return name
        constant = self.editing.constant(name)
        if constant is not None:
            return self.editing.put_constant(f"{name}/shaped", constant.reshape(fact.shape))
        target = [-1 if axis == fact.batch else size for axis, size in enumerate(fact.shape)]
        sizes = self.editing.put_constant(f"{self.operation.output}/sizes", np.asarray(target, dtype=np.int64))
        return self.put("Reshape", name, sizes, fact=fact)

    def scalar(self, value: float) -> str:
        """Return the name of a floating constant."""
        return self.editing.put_constant(f"{self.operation.output}/scalar", np.asarray(value, dtype=np.float32))

    def linear(self, linear: Linear, *, fact: Fact) -> str:
        """Return a product by a constant matrix with its row."""
        weights = self.editing.put_constant(f"{self.operation.output}/matrix", linear.weights)
        row = self.editing.put_constant(f"{self.operation.output}/row", linear.row)
        return self.put("MatMul", linear.value, weights, row, fact=fact)

    def split(self, name: str, *, axis: int, fact: Fact, count: int) -> list[str]:
        """Return the equal pieces, each of that fact, that the value is cut into."""
        pieces = [
            self.editing.put_fact(f"{self.operation.output}/piece{len(self._made)}-{each}", fact)
            for each in range(count)
        ]
        sizes = self.editing.put_constant(
            f"{self.operation.output}/pieces", np.full(count, fact.shape[axis], dtype=np.int64)
        )
        self._made.append(
            Operation(
                op="Split",
                name=f"{self.operation.name}/part{len(self._made)}",
                inputs=(name, sizes),
                outputs=tuple(pieces),
                attributes={"axis": axis},
            )
        )
        return pieces

    def finish(self, name: str, end: Operation | None = None) -> None:
        """Let the value be the operation's output, or that of an operation after it, which goes too."""
        replaced = self.operation if end is None else end
        last = self._made[-1]
        if last.output != name:
            last = Operation(op="Identity", name=self.operation.name, inputs=(name,), outputs=())
            self._made.append(last)
        self._made[-1] = dataclasses.replace(last, outputs=replaced.outputs[:1])
        self.editing.replace([replaced], self._made)
