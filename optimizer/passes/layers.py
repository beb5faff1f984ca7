"""The operations of an ONNX model by the tensor that each gives: what segments and layers are named by.

A file's order is always a valid order of computing, so "all operations between two" is a contiguous segment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from optimizer.model import Model

HEAVY: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators with weights that run on integers."""
RECURRENT: Final = frozenset({"GRU", "LSTM", "RNN"})


def quantizable_layers(model: Model) -> tuple[str, ...]:
    """Return the tensor that each heavy operation with constant weights gives, in the file's order.

    Raises:
        ModelError: not an ONNX model.
    """
    return heavy_with_weights(_graph(model))


def operations(model: Model) -> tuple[str, ...]:
    """Return the first tensor that each operation gives, in the file's order; constants are left out.

    Any of them can be the ``first`` or ``last`` of a segment.

    Raises:
        ModelError: not an ONNX model.
    """
    return tuple(given(node) for node in _graph(model).node if node.op_type != "Constant")


def heavy_with_weights(graph: Any) -> tuple[str, ...]:
    """Return ``quantizable_layers`` of an ``onnx.GraphProto``."""
    constants = constant_names(graph)
    return tuple(given(node) for node in graph.node if node.op_type in HEAVY and node.input[1] in constants)


def constant_names(graph: Any) -> frozenset[str]:
    """Return the names of the tensors of an ``onnx.GraphProto`` that never change: initializers and constants."""
    return frozenset(
        {item.name for item in graph.initializer}
        | {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    )


def given(operation: Any) -> str:
    """Return the first tensor that an ``onnx.NodeProto`` gives (an operation may leave out an output)."""
    return next((str(name) for name in operation.output if name), "")


def _graph(model: Model) -> Any:
    from optimizer.formats.onnx_format import parse

    return parse(model.content, model.name).graph
