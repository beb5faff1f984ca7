"""A layer's weights and bias in float64, to be changed and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.passes.layers import given
from optimizer.passes.static.preparation import make_gemm_plain
from optimizer.passes.static.tensors import array, attribute, initializers, put, readers, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPERATORS: Final = frozenset({"Conv", "ConvTranspose", "Gemm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """One layer's weights, its own to change: ``by_output`` is a view of ``weights``.

    Attributes:
        operation: the ``onnx.NodeProto`` of the layer.
        weights: float64, in the file's shape.
        bias: float64, shape (outputs,); zeros where the layer has none.
    """

    operation: Any
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def by_output(self) -> NDArray[np.float64]:
        """The weights as (groups, outputs of a group, inputs of a group, kernel)."""
        return table(self.operation, self.weights)

    def scale_outputs(self, factor: NDArray[np.float64], offset: NDArray[np.float64] | float = 0.0) -> None:
        """Make the layer give ``factor * before + offset``, both shape (outputs,)."""
        view = self.by_output
        view *= factor.reshape(view.shape[0], view.shape[1], 1, 1)
        self.bias[:] = self.bias * factor + offset

    def scale_inputs(self, factor: NDArray[np.float64], offset: NDArray[np.float64] | float = 0.0) -> None:
        """Make the layer take ``factor * input + offset`` for its input, both shape (inputs,); padding stays zero."""
        view = self.by_output
        offsets = np.broadcast_to(offset, factor.shape).reshape(view.shape[0], 1, view.shape[2], 1)
        self.bias[:] += (view * offsets).sum(axis=(2, 3)).reshape(-1)
        view *= factor.reshape(view.shape[0], 1, view.shape[2], 1)

    def put_back(self, graph: Any) -> None:
        """Write weights and bias under names of the layer's own: another layer may read the old ones."""
        kind = array(initializers(graph)[self.operation.input[1]]).dtype
        names = [f"{given(self.operation)}/weight", f"{given(self.operation)}/bias"]
        put(graph, names[0], self.weights.astype(kind))
        put(graph, names[1], self.bias.astype(kind))
        del self.operation.input[1:]
        self.operation.input.extend(names)


def affine(graph: Any, operation: Any) -> Affine | None:
    """Return the layer that an operation is; None where it is none, or its weights or bias are not constant."""
    constants = initializers(graph)
    if operation.op_type not in _OPERATORS or operation.input[1] not in constants:
        return None
    if operation.op_type == "Gemm":
        make_gemm_plain(operation, graph, constants)
        constants = initializers(graph)
    weights = array(constants[operation.input[1]]).astype(np.float64)
    outputs = int(np.prod(table(operation, weights).shape[:2]))
    name = operation.input[2] if len(operation.input) > 2 else ""
    if name and name not in constants:
        return None
    bias = array(constants[name]).astype(np.float64) if name else np.zeros(outputs)
    plain = not any(attribute(operation, word, 1.0) != 1.0 for word in ("alpha", "beta"))
    return Affine(operation=operation, weights=weights, bias=bias) if plain and bias.shape == (outputs,) else None


def drop_unread(graph: Any) -> None:
    """Remove the initializers that nothing reads any more, also where an old file lists them among its inputs."""
    from optimizer.passes.static.segment import captured_names

    read = readers(graph).keys() | captured_names(graph)
    for item in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(item)
        for given_too in [given_too for given_too in graph.input if given_too.name == item.name]:
            graph.input.remove(given_too)
