"""Which operations of a graph compute on integers: a segment of the file's order, less what is kept float."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from optimizer.errors import PassFailed
from optimizer.passes.layers import given, heavy_with_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

INTEGER: Final = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Concat", "Split", "Where", "Gather", "ArgMax"}
    | {"Relu", "Clip", "LeakyRelu", "Sigmoid", "Softmax", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize"}
    | {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Pad"}
)
"""What ONNX Runtime computes on integers; a normalization, say, it would only wrap in conversions."""
ACTIVATIONS: Final = frozenset({"Relu", "Clip"})
"""What a quantized layer does at no cost: the bounds of its output's range."""


def integer_operations(graph: Any, *, first: str, last: str, keep: Sequence[str]) -> frozenset[str]:
    """Return the operations to quantize, each by the first tensor that it gives.

    A Relu or Clip right behind the segment that only it reads belongs to it: it costs nothing there.

    Args:
        graph: an ``onnx.GraphProto``.
        first: tensor that the segment's first operation gives; empty for the start of the file.
        last: tensor that its last operation gives; empty for the end of the file.
        keep: tensors whose operations stay float.

    Raises:
        PassFailed: a name is not in the graph, the ends are the wrong way round, or no layer lies between them.
    """
    order = [given(node) for node in graph.node]
    for name in (first, last, *keep):
        if name and name not in order:
            raise PassFailed(
                f"no operation gives {name!r}; 'edgeship recipe' takes names of the model before this step"
            )
    begin = order.index(first) if first else 0
    end = order.index(last) if last else len(order) - 1
    if begin > end:
        raise PassFailed(f"the segment ends before it begins: {last!r} comes before {first!r}; swap first and last")
    inside = set(order[begin : end + 1]) - set(keep)
    inside |= _trailing_activations(graph, inside) - set(keep)
    if not inside & set(heavy_with_weights(graph)):
        raise PassFailed(
            f"no layer with weights lies between {first or 'the start'!r} and {last or 'the end'!r}, so nothing would "
            "be quantized; widen the segment or keep fewer layers float"
        )
    captured = captured_names(graph)
    return frozenset(given(node) for node in graph.node if given(node) in inside and _can(node, captured))


def captured_names(graph: Any) -> frozenset[str]:
    """Return the tensors of the graph that the bodies of If, Loop and Scan read."""
    return frozenset(
        name
        for node in graph.node
        for attribute in node.attribute
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
        for inner in body.node
        for name in (*inner.input, *captured_names(body))
    ) | frozenset(
        output.name
        for node in graph.node
        for attribute in node.attribute
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
        for output in body.output
    )


def _can(node: Any, captured: frozenset[str]) -> bool:
    """Whether an operation can compute on integers: a removed activation must not be read from a body by its name."""
    return node.op_type in INTEGER and not (node.op_type in ACTIVATIONS and node.input[0] in captured)


def _trailing_activations(graph: Any, inside: set[str]) -> set[str]:
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {output.name for output in graph.output}
    return {
        given(reader)
        for name in inside - outputs
        for reader in readers.get(name, [])
        if reader.op_type in ACTIVATIONS and len(readers[name]) == 1
    }
