"""A TFLite file written by hand: fully connected layers and a softmax, batch 1, float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One fully connected layer: ``weights`` of shape (inputs, outputs), as numpy multiplies them.

    ``rows`` folds what comes in into that many rows of ``inputs`` elements.
    """

    weights: NDArray[np.float32]
    offsets: NDArray[np.float32] | None = None
    relu: bool = False
    rows: int = 1


class _Graph:
    """A subgraph under construction; equal arrays share one tensor."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.tensors: list[Any] = []
        self.buffers: list[object] = [schema.BufferT()]
        self.operators: list[object] = []
        self._constants: dict[int, int] = {}

    def tensor(self, name: str, shape: tuple[int, ...], buffer: int = 0) -> int:
        """Return the place of a new tensor."""
        made = self.schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), self.schema.TensorType.FLOAT32, buffer
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, array: NDArray[np.float32]) -> int:
        """Return the place of the tensor that holds the array."""
        if id(array) not in self._constants:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(array.tobytes(), dtype=np.uint8)
            self.buffers.append(buffer)
            self._constants[id(array)] = self.tensor(f"c{len(self.buffers)}", array.shape, len(self.buffers) - 1)
        return self._constants[id(array)]

    def operator(self, code: int, inputs: Sequence[int], output: int, options: tuple[int, object]) -> None:
        """Append one operator."""
        made = self.schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = code, list(inputs), [output]
        made.builtinOptionsType, made.builtinOptions = options
        self.operators.append(made)


def classifier_bytes(layers: Sequence[Layer], *, input_name: str, output_name: str) -> bytes:
    """Return the file of: the layers one after the other, then a softmax."""
    import flatbuffers

    graph = _Graph()
    schema = graph.schema
    start = current = graph.tensor(input_name, (1, layers[0].weights.shape[0]))
    turned: dict[int, NDArray[np.float32]] = {}
    for place, layer in enumerate(layers):
        weights = turned.setdefault(id(layer.weights), np.ascontiguousarray(layer.weights.T))
        output = graph.tensor(f"t{place}", (layer.rows, layer.weights.shape[1]))
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU if layer.relu else 0
        offsets = -1 if layer.offsets is None else graph.constant(layer.offsets)
        kind = (schema.BuiltinOptions.FullyConnectedOptions, options)
        graph.operator(0, (current, graph.constant(weights), offsets), output, kind)
        current = output
    end = graph.tensor(output_name, (1, layers[-1].weights.shape[1]))
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    graph.operator(1, (current,), end, (schema.BuiltinOptions.SoftmaxOptions, softmax))
    builder = flatbuffers.Builder(1024)
    builder.Finish(_model(graph, start, end).Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _model(graph: _Graph, start: int, end: int) -> Any:
    schema = graph.schema
    subgraph = schema.SubGraphT()
    subgraph.tensors, subgraph.operators = graph.tensors, graph.operators
    subgraph.inputs, subgraph.outputs = [start], [end]
    codes = []
    for operator in (schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.SOFTMAX):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = operator
        codes.append(code)
    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, graph.buffers, codes, [subgraph]
    model.signatureDefs = [_signature(graph, start, end)]
    return model


def _signature(graph: _Graph, start: int, end: int) -> Any:
    """Return the names by which tools such as ai-edge-quantizer run the file."""
    signature = graph.schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = [graph.schema.TensorMapT()], [graph.schema.TensorMapT()]
    for mapped, place in ((signature.inputs[0], start), (signature.outputs[0], end)):
        mapped.name, mapped.tensorIndex = graph.tensors[place].name, place
    return signature
