"""A graph being rewritten: who makes and who reads each value, and operations put in place of others."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, OnnxGraph, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Editing:
    """One rewrite at work: operations are replaced by name of their first output, in any order.

    ``finish`` drops what nobody reads any more and puts the rest in an order that can be run.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        """Begin with the graph as it is."""
        self._graph = graph
        self._operations = {operation.output: operation for operation in graph.operations}
        self._constants = dict(graph.constants)
        self._facts = dict(graph.facts)
        self._shown = frozenset(value for _, value in graph.outputs)
        self._makers: dict[str, Operation] = {}
        self._readers: dict[str, list[Operation]] = {}
        self._index()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations as they are now."""
        return tuple(self._operations.values())

    @property
    def opset(self) -> int:
        """Version of ONNX's operators."""
        return self._graph.opset

    def producer(self, name: str) -> Operation | None:
        """Return the operation that makes the value; None for inputs and constants."""
        return self._makers.get(name)

    def producer_of(self, name: str, *ops: str) -> Operation | None:
        """Return the operation that makes the value, if it is one of those."""
        made = self._makers.get(name)
        return made if made is not None and made.op in ops else None

    def readers(self, name: str) -> tuple[Operation, ...]:
        """Return the operations that read the value, once for each time that they do."""
        return tuple(self._readers.get(name, ()))

    def is_shown(self, name: str) -> bool:
        """Return whether the value is an output of the graph."""
        return name in self._shown

    def sole_reader(self, name: str) -> Operation | None:
        """Return the one reader of a value that goes nowhere else; None where there are more, or it is an output."""
        readers = self._readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self._shown else None

    def is_inner(self, name: str) -> bool:
        """Return whether the value is read once and is no output."""
        return self.sole_reader(name) is not None

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the constant of that name, where it holds for any batch; None for anything else."""
        return None if name in self._graph.batch_constants else self._constants.get(name)

    def scalar(self, name: str) -> float | None:
        """Return the value of a floating constant of one element; None for anything else."""
        array = self.constant(name)
        return (
            float(array.reshape(-1)[0]) if array is not None and array.size == 1 and array.dtype.kind == "f" else None
        )

    def fact(self, name: str) -> Fact | None:
        """Return what is known of the value; None where nothing is."""
        return self._facts.get(name)

    def put_constant(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant, doubles as floats, under that name or a numbered one; return its name."""
        free, number = name, 1
        while free in self._facts:
            free, number = f"{name};{number}", number + 1
        stored = array.astype(np.float32) if array.dtype == np.float64 else array
        self._constants[free] = stored
        self._facts[free] = Fact(shape=stored.shape, element=stored.dtype)
        return free

    def put_fact(self, name: str, fact: Fact) -> str:
        """Say what is known of a value; return its name."""
        self._facts[name] = fact
        return name

    def replace(self, old: Iterable[Operation], new: Iterable[Operation]) -> None:
        """Put operations in the place of others; an old one that keeps its first output is simply changed."""
        for operation in old:
            del self._operations[operation.output]
        self._operations.update({operation.output: operation for operation in new})
        self._index()

    def finish(self) -> OnnxGraph:
        """Return the graph: the operations that lead to an output, in an order that can be run."""
        order: list[Operation] = []
        done: set[str] = set()
        stack = [value for _, value in reversed(self._graph.outputs)]
        while stack:
            made = self._makers.get(stack[-1])
            if made is None or made.output in done:
                stack.pop()
                continue
            missing = [name for name in made.inputs if name in self._makers and self._makers[name].output not in done]
            if missing:
                stack.extend(reversed(missing))
            else:
                done.add(made.output)
                order.append(made)
                stack.pop()
        return self._graph.with_operations(order, constants=self._constants, facts=self._facts)

    def _index(self) -> None:
        self._makers = {name: one for one in self._operations.values() for name in one.outputs if name}
        readers: defaultdict[str, list[Operation]] = defaultdict(list)
        for operation in self._operations.values():
            for name in filter(None, operation.inputs):
                readers[name].append(operation)
        self._readers = readers


def renamed(operation: Operation, names: Mapping[str, str]) -> Operation:
    """Return the operation reading other values."""
    return dataclasses.replace(operation, inputs=tuple(names.get(name, name) for name in operation.inputs))
