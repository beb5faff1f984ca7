"""A model that shows its inner tensors: each of them is one more output of the same graph.

ONNX Runtime itself says which of them are float, so operators that ``onnx`` does not know are no obstacle.
Tensors inside the bodies of Loop, If and Scan stay hidden; so do those that no input reaches (weights).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.telemetry import forbid_telemetry
from optimizer.errors import PassFailed, first_line
from optimizer.formats.onnx_format import parse, runtime_errors
from optimizer.formats.quiet import quiet
from optimizer.model import Format, Model

_FLOATS: Final = frozenset({"tensor(float)", "tensor(float16)"})
_SPATIAL: Final = frozenset({
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool",
    "GroupNormalization", "InstanceNormalization", "MaxPool",
})  # fmt: skip
"""Operators whose data have their channels at axis 1."""
_ELEMENTWISE: Final = frozenset({
    "Add", "Clip", "Div", "Elu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Mul", "PRelu", "Relu",
    "Sigmoid", "Softplus", "Sub", "Tanh",
})  # fmt: skip
"""Operators that leave the channels where they are."""


class Instrument(Protocol):
    """A float model whose float tensors can be looked at; not safe for two threads at once.

    ``name`` is the model's; ``ends`` are the names of its inputs and outputs.
    """

    name: str
    ends: frozenset[str]

    def run(self, batch: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Return every float tensor for the batch, by name, in the order in which the file computes them.

        Raises:
            PassFailed: the runtime cannot run the model on the batch.
        """
        ...

    def axis(self, name: str, values: NDArray[np.generic]) -> int:
        """Return which axis of the tensor holds its channels."""
        ...


def instrumented(model: Model, *, threads: int) -> Instrument:
    """Return the model, ONNX or TFLite, with its inner tensors to be looked at.

    Raises:
        PassFailed: it is of another format, or its runtime refuses it.
        LibraryMissing: its runtime is not installed.
    """
    if model.format is Format.TFLITE:
        from optimizer.calibration.instrument_tflite import InstrumentedTflite

        return InstrumentedTflite(model, threads=threads)
    return Instrumented(model, threads=threads)


class Instrumented:
    """An ONNX float model whose float tensors can be looked at; not safe for two threads at once."""

    def __init__(self, model: Model, *, threads: int) -> None:
        """Load the model with all inner tensors as outputs.

        Raises:
            PassFailed: it is no ONNX model, or ONNX Runtime refuses it.
        """
        if model.format is not Format.ONNX:
            raise PassFailed(
                f"{model.name}: statistics need an ONNX or TFLite model, this is {model.format}; export it"
            )
        proto = parse(model.content, model.name)
        self.name = model.name
        self.ends = frozenset(spec.name for spec in (*model.inputs, *model.outputs))
        inner = _add_outputs(proto)
        self._channel_first = _channel_first(proto, {spec.name for spec in model.inputs}.union(inner))
        forbid_telemetry()
        ort = importlib.import_module("onnxruntime")
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            with quiet():
                self._session = ort.InferenceSession(
                    proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
                )
        except runtime_errors() as error:
            raise PassFailed(
                f"{self.name}: ONNX Runtime cannot show its inner tensors ({first_line(error)}); export it again, or "
                "leave out the pass that calibrates"
            ) from error
        self._half = {item.name for item in self._session.get_inputs() if item.type == "tensor(float16)"}
        floats = {item.name for item in self._session.get_outputs() if item.type in _FLOATS}
        self._given = [name for name in inner if name in floats]

    def run(self, batch: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Return every float tensor for the batch, by name, in the order in which the file computes them.

        Raises:
            PassFailed: ONNX Runtime cannot run the model on the batch.
        """
        rows = {name: values.astype(np.float16) if name in self._half else values for name, values in batch.items()}
        try:
            given = self._session.run(self._given, rows) if self._given else []
        except runtime_errors() as error:
            raise PassFailed(
                f"{self.name}: ONNX Runtime cannot run it on the rows ({first_line(error)}); correct the rows, or the "
                "preprocessing"
            ) from error
        floats = {name: values for name, values in rows.items() if np.issubdtype(values.dtype, np.floating)}
        return floats | dict(zip(self._given, given, strict=True))

    def axis(self, name: str, values: NDArray[np.generic]) -> int:
        """Return which axis of the tensor holds its channels."""
        return min(1 if name in self._channel_first else values.ndim, max(values.ndim - 1, 0))


def _add_outputs(proto: Any) -> tuple[str, ...]:
    """Make every tensor that an input reaches an output; return their names in the file's order."""
    import onnx

    weights = {item.name for item in proto.graph.initializer}
    reached = {item.name for item in proto.graph.input} - weights
    known = {item.name for item in proto.graph.output}
    ordered: list[str] = []
    for node in proto.graph.node:
        if reached & set(node.input) or any(item.type == onnx.AttributeProto.GRAPH for item in node.attribute):
            ordered += [name for name in node.output if name]
            reached.update(node.output)
    for name in ordered:
        if name not in known:
            proto.graph.output.append(onnx.ValueInfoProto(name=name))
    return tuple(ordered)


def _channel_first(proto: Any, tensors: AbstractSet[str]) -> frozenset[str]:
    """Return those tensors whose channels lie at axis 1: of convolutions and their kin, and elementwise from there."""
    found: set[str] = set()
    for node in proto.graph.node:
        if node.op_type in _SPATIAL:
            found |= {node.input[0], node.output[0]}
    nodes = list(proto.graph.node)
    for node in (*nodes, *reversed(nodes)):
        touched = tensors & {*node.input, *node.output}
        if node.op_type in _ELEMENTWISE and touched & found:
            found |= touched
    return frozenset(found)
