"""Reading and writing the constants of an ONNX graph, and who reads a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def initializers(graph: Any) -> dict[str, Any]:
    """Return the graph's initializers by name."""
    return {item.name: item for item in graph.initializer}


def array(tensor: Any) -> NDArray[np.generic]:
    """Return an initializer's values."""
    from onnx import numpy_helper

    values: NDArray[np.generic] = numpy_helper.to_array(tensor)
    return values


def put(graph: Any, name: str, values: NDArray[np.generic]) -> None:
    """Make the values those of the initializer of that name, which is added if it is new."""
    from onnx import numpy_helper

    known = initializers(graph).get(name)
    (graph.initializer.add() if known is None else known).CopyFrom(numpy_helper.from_array(np.asarray(values), name))


def attribute(node: Any, name: str, default: Any) -> Any:
    """Return an attribute of an operation, the default where it is not set."""
    from onnx import helper

    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def readers(graph: Any) -> dict[str, list[Any]]:
    """Return the operations that read each tensor, in the file's order; a graph output is read by None as well."""
    found: dict[str, list[Any]] = {output.name: [None] for output in graph.output}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def table(operation: Any, weights: NDArray[Any]) -> NDArray[Any]:
    """Return a view of a layer's weights, shape (groups, outputs of a group, inputs of a group, kernel)."""
    groups = int(attribute(operation, "group", 1))
    if operation.op_type == "Conv":
        return weights.reshape(groups, weights.shape[0] // groups, weights.shape[1], -1)
    if operation.op_type == "ConvTranspose":
        return weights.reshape(groups, weights.shape[0] // groups, weights.shape[1], -1).transpose(0, 2, 1, 3)
    by_output = operation.op_type == "Gemm" and attribute(operation, "transB", 0)
    return (weights if by_output else weights.T)[None, :, :, None]
