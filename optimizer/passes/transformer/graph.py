"""An ONNX graph in the middle of a rewrite: operations by the tensors between them, constants as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.passes.layers import given

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model

ONNXRUNTIME = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""


class Graph:
    """The outermost graph of one ``onnx.ModelProto``, which it changes.

    Operations are ``onnx`` protos, known by the first tensor that they give. A tensor that is an output of the
    model, or that a nested graph reads, has a use besides its readers.
    """

    def __init__(self, proto: Any) -> None:
        from optimizer.passes.static.segment import captured_names

        self._proto = proto
        self._graph = proto.graph
        self._outer = captured_names(proto.graph) | {item.name for item in proto.graph.output}
        self._operations = [type(each).FromString(each.SerializeToString()) for each in proto.graph.node]
        for operation in self._operations:
            operation.name = given(operation)  # ONNX Runtime's quantizer tells operations apart by name
        for operation in self.operations:
            if operation.op_type == "Constant" and operation.attribute[0].name == "value":
                self._graph.initializer.append(operation.attribute[0].t)
                self._graph.initializer[-1].name = operation.output[0]
                self.remove(operation)
        self._constants = {item.name: item for item in self._graph.initializer}
        self._names = {name for each in self._operations for name in (*each.input, *each.output)}
        self._names |= self._constants.keys() | {item.name for item in self._graph.input}

    @property
    def operations(self) -> list[Any]:
        """The operations: in the file's order, new ones at the end until ``finish`` puts each where it belongs."""
        return list(self._operations)

    @property
    def opset(self) -> int:
        """The version of ONNX's own operator set."""
        return max(int(item.version) for item in self._proto.opset_import if item.domain in ("", "ai.onnx"))

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the values of a tensor that never changes; None where it does."""
        return self.values(name) if name in self._constants else None

    def values(self, name: str) -> NDArray[Any]:
        """Return the values of a tensor that is known to be constant."""
        from onnx import numpy_helper

        held: NDArray[Any] = numpy_helper.to_array(self._constants[name])
        return held

    @property
    def constants(self) -> tuple[str, ...]:
        """The names of the tensors that never change."""
        return tuple(self._constants)

    def forget_constant(self, name: str) -> None:
        """Take a constant out, for an operation that gives a tensor of its name."""
        self._graph.initializer.remove(self._constants.pop(name))

    def giver(self, name: str) -> Any | None:
        """Return the operation that gives the tensor; None for a constant or an input of the model."""
        return next((each for each in self._operations if name in each.output), None)

    def readers(self, name: str) -> list[Any]:
        """Return the operations that read the tensor, once for each time they do."""
        return [each for each in self._operations for read in each.input if read == name]

    def is_read_elsewhere(self, name: str) -> bool:
        """Whether the tensor is an output of the model, or a nested graph reads it."""
        return name in self._outer

    def fresh(self, name: str) -> str:
        """Return the name, or the name with the first number behind it that no tensor has yet."""
        found, number = name, 1
        while found in self._names:
            number += 1
            found = f"{name}/{number}"
        self._names.add(found)
        return found

    def add_constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant and return the name that it got."""
        from onnx import numpy_helper

        given = self.fresh(name)
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), given))
        self._constants[given] = self._graph.initializer[-1]
        return given

    def add(self, kind: str, inputs: list[str], name: str, *, domain: str = "", **attributes: Any) -> str:
        """Add an operation with one output; return the output's name: ``name``, which must not be given already."""
        return self.add_many(kind, inputs, [name], domain=domain, **attributes)[0]

    def add_many(
        self, kind: str, inputs: list[str], names: list[str], *, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add an operation with several outputs and return their names."""
        from onnx import helper

        if domain and all(item.domain != domain for item in self._proto.opset_import):
            self._proto.opset_import.append(helper.make_opsetid(domain, 1))
        self._operations.append(helper.make_node(kind, inputs, names, name=names[0], domain=domain, **attributes))
        self._names.update(names)
        return names

    def remove(self, operation: Any) -> None:
        """Take the operation out."""
        self._operations = [each for each in self._operations if each is not operation]

    def finish(self) -> Any:
        """Return the proto: operations in an order of computing as near the file's as can be, unread constants gone."""
        from optimizer.passes.static.affine import drop_unread

        ordered = list(self._in_order())
        del self._graph.node[:]
        self._graph.node.extend(ordered)
        drop_unread(self._graph)
        return self._proto

    def _in_order(self) -> Iterator[Any]:
        """Yield each operation after those that give what it reads; a new one just before its first reader."""
        givers = {name: each for each in self._operations for name in each.output if name}
        done: set[int] = set()
        for first in self._operations:
            waiting = [first]
            while waiting:
                operation = waiting[-1]
                needs = [givers[name] for name in _reads(operation) if name in givers]
                open_needs = [need for need in needs if id(need) not in done]
                if open_needs:
                    waiting.extend(reversed(open_needs))
                    continue
                waiting.pop()
                if id(operation) not in done:
                    done.add(id(operation))
                    yield operation


def open_graph(model: Model) -> Graph:
    """Return the graph of an ONNX model, ready to be rewritten.

    Raises:
        ModelError: the bytes are no valid ONNX model.
    """
    from optimizer.formats.onnx_format import parse

    return Graph(parse(model.content, model.name))


def closed(graph: Graph, model: Model) -> Model:
    """Return the model with its graph rewritten; equal graphs give equal bytes."""
    from optimizer.model import Model as Made
    from optimizer.passes.export_onnx import strip

    proto = graph.finish()
    strip(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return Made.from_bytes(model.format, content, name=model.name, adapter=model.adapter)


def attribute(operation: Any, name: str, default: Any) -> Any:
    """Return an attribute of an operation, the default where it is not set."""
    from optimizer.passes.static import tensors

    return tensors.attribute(operation, name, default)


def _reads(operation: Any) -> list[str]:
    """Return the tensors that an operation reads, those of its nested graphs with them."""
    nested = [
        graph for item in operation.attribute for graph in (*item.graphs, *((item.g,) if item.HasField("g") else ()))
    ]
    return [*operation.input, *(name for graph in nested for inner in graph.node for name in _reads(inner))]
