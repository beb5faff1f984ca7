"""An ONNX file as plain values: operations in order, constants folded, every shape known, batch 1.

This is the only module of the emitter that touches onnx; what comes after works on ``OnnxGraph``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.errors import PassFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

Shape = tuple[int, ...]

_NEVER_FOLDED = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"})


class Activation(Enum):
    """What an operation does to its result last; the values are TFLite's own numbers."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3


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
        """Name of the first output."""
        return self.outputs[0]

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
    """Operations in an order that can be run; ``shapes`` names every value's, batch 1.

    ``outputs`` pairs each public output name with the value that it shows.
    """

    operations: tuple[Operation, ...]
    constants: Mapping[str, NDArray[Any]]
    shapes: Mapping[str, Shape]
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, str], ...]
    opset: int


def read_graph(content: bytes) -> OnnxGraph:
    """Return the graph of an ONNX file whose batch, where it is free, is fixed to 1.

    Raises:
        PassFailed: an input is not float32, or a size other than the batch is free.
    """
    import onnx

    model = onnx.load_from_string(content)
    _fix_batch(model)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    shapes = _fold(model, constants, opset)
    operations = tuple(_operation(node, place) for place, node in enumerate(model.graph.node))
    return OnnxGraph(
        operations=operations,
        constants=constants,
        shapes=shapes,
        inputs=tuple(item.name for item in model.graph.input if item.name not in constants),
        outputs=tuple((item.name, item.name) for item in model.graph.output),
        opset=opset,
    )


def _fix_batch(model: ModelProto) -> None:
    """Give each input its batch of 1 and forget the shapes that were inferred for a free one."""
    from onnx import TensorProto

    known = {item.name for item in model.graph.initializer}
    for item in model.graph.input:
        if item.name in known:
            continue
        if item.type.tensor_type.elem_type != TensorProto.FLOAT:
            raise PassFailed(f"export-tflite: input {item.name!r} is not float32; feed float32 and scale with a step")
        for place, dim in enumerate(item.type.tensor_type.shape.dim):
            if dim.HasField("dim_value"):
                continue
            if place:
                raise PassFailed(
                    f"export-tflite: size {place} of input {item.name!r} is free; export it with a fixed one"
                )
            dim.dim_value = 1
    del model.graph.value_info[:]
    for item in model.graph.output:
        item.type.tensor_type.ClearField("shape")


def _fold(model: ModelProto, constants: dict[str, NDArray[Any]], opset: int) -> dict[str, Shape]:
    """Evaluate what depends on constants and shapes alone until nothing changes; return all shapes."""
    import onnx

    while True:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        shapes = _shapes(inferred) | {name: tuple(array.shape) for name, array in constants.items()}
        kept = [node for node in model.graph.node if not _fold_one(node, constants, shapes=shapes, opset=opset)]
        if len(kept) == len(model.graph.node):
            return shapes
        del model.graph.node[:]
        model.graph.node.extend(kept)
        del model.graph.initializer[:]
        model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())


def _fold_one(node: NodeProto, constants: dict[str, NDArray[Any]], *, shapes: Mapping[str, Shape], opset: int) -> bool:
    """Add the node's outputs to the constants if they are constant; say whether they were."""
    from onnx.reference import ReferenceEvaluator

    if node.op_type == "Shape" and node.input[0] in shapes:
        operation = _operation(node, 0)
        sizes = shapes[node.input[0]]
        stop = operation.integer("end", len(sizes))
        constants[node.output[0]] = np.asarray(sizes[operation.integer("start", 0) : stop], dtype=np.int64)
        return True
    given = [name for name in node.input if name]
    if (
        node.op_type in _NEVER_FOLDED
        or node.domain not in ("", "ai.onnx")
        or any(name not in constants for name in given)
    ):
        return False
    try:
        values = ReferenceEvaluator(node, opsets={"": opset}).run(None, {name: constants[name] for name in given})
    except NotImplementedError:  # not known to the evaluator: refused later by name, as any other operator
        return False
    constants.update({name: np.asarray(value) for name, value in zip(node.output, values, strict=False)})
    return True


def _shapes(model: ModelProto) -> dict[str, Shape]:
    graph = model.graph
    found: dict[str, Shape] = {}
    for item in (*graph.input, *graph.value_info, *graph.output):
        kind = item.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            found[item.name] = tuple(int(dim.dim_value) for dim in kind.shape.dim)
    return found


def _operation(node: NodeProto, place: int) -> Operation:
    from onnx.helper import get_attribute_value

    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    return Operation(
        op=f"{domain}{node.op_type}",
        name=node.name or f"{node.op_type}_{place}",
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={item.name: get_attribute_value(item) for item in node.attribute},
    )
