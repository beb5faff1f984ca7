"""From an ONNX file to an ``OnnxGraph``: constants folded, every shape known, the axis of the batch found.

Where the model leaves its batch free the graph is read twice, for a batch of 1 and of 2: what differs grows with it.
This is, with ``folding``, the only module of the emitter that touches onnx; what comes after works on ``OnnxGraph``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.errors import PassFailed
from optimizer.formats.tflite_emitter.folding import fold
from optimizer.formats.tflite_emitter.graph import Fact, OnnxGraph, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

_OTHER_BATCH: Final = 2
_SERVED: Final = frozenset({"float32", "int32", "int64", "bool", "uint8", "int8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What one batch size shows: the shapes of all values, the constants, and the operations that are left."""

    shapes: Mapping[str, tuple[int, ...]]
    elements: Mapping[str, np.dtype[Any]]
    constants: Mapping[str, NDArray[Any]]
    operations: tuple[Operation, ...]


def read_graph(content: bytes) -> OnnxGraph:
    """Return the graph of an ONNX file at a batch of 1.

    Raises:
        PassFailed: an input's type is not served, or a size other than the batch is free.
    """
    import onnx

    model = onnx.load_from_string(content)
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    is_free = _free_batch(model, known=frozenset(constants))
    one = _read(content, constants, batch=1)
    facts = {
        name: Fact(shape=shape, element=one.elements.get(name, np.dtype(np.float32)))
        for name, shape in one.shapes.items()
    }
    graph = OnnxGraph(
        operations=one.operations,
        constants=one.constants,
        facts=facts | {name: Fact(shape=array.shape, element=array.dtype) for name, array in one.constants.items()},
        inputs=tuple(item.name for item in model.graph.input if item.name not in constants),
        outputs=tuple((item.name, item.name) for item in model.graph.output),
        opset=next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1),
    )
    return _with_batch(graph, _read(content, constants, batch=_OTHER_BATCH)) if is_free else graph


def _free_batch(model: ModelProto, *, known: frozenset[str]) -> bool:
    """Return whether the batch is free; refuse what else is free, and types that are not served."""
    from onnx.helper import tensor_dtype_to_np_dtype

    free = False
    for item in model.graph.input:
        if item.name in known:
            continue
        element = tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type).name
        if element not in _SERVED:
            raise PassFailed(
                f"export-tflite: input {item.name!r} is {element}; inputs of {', '.join(sorted(_SERVED))} are written: "
                "convert it before the model"
            )
        for place, dim in enumerate(item.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value") and place:
                raise PassFailed(
                    f"export-tflite: size {place} of input {item.name!r} is free; export it with a fixed one"
                )
            free = free or not dim.HasField("dim_value")
    return free


def _read(content: bytes, given: Mapping[str, NDArray[Any]], *, batch: int) -> _Reading:
    """Return what the model looks like at that batch."""
    import onnx

    model = onnx.load_from_string(content)
    for item in model.graph.input:
        for dim in item.type.tensor_type.shape.dim:
            if item.name not in given and not dim.HasField("dim_value"):
                dim.dim_value = batch
    del model.graph.value_info[:]
    for item in model.graph.output:
        item.type.tensor_type.ClearField("shape")
    constants = dict(given)
    shapes, elements = fold(model, constants)
    operations = tuple(_operation(node, place) for place, node in enumerate(model.graph.node))
    return _Reading(shapes=shapes, elements=elements, constants=constants, operations=operations)


def _with_batch(graph: OnnxGraph, other: _Reading) -> OnnxGraph:
    """Return the graph with the axis of the batch in its facts, or with the reason why the batch stays 1."""
    if [operation.name for operation in graph.operations] != [operation.name for operation in other.operations]:
        return dataclasses.replace(graph, fixed_batch="what it computes depends on the batch")
    facts = dict(graph.facts)
    for name, fact in graph.facts.items():
        if name in graph.constants:
            continue
        shape = other.shapes.get(name, ())
        grown = [axis for axis, size in enumerate(fact.shape) if len(shape) == len(fact.shape) and shape[axis] != size]
        whole = all(shape[axis] == _OTHER_BATCH * fact.shape[axis] for axis in grown)
        if len(shape) != len(fact.shape) or len(grown) > 1 or not whole:
            return dataclasses.replace(graph, fixed_batch=f"the shape of {name!r} is no plain multiple of the batch")
        facts[name] = dataclasses.replace(fact, batch=grown[0] if grown else None)
    differing = frozenset(
        name
        for name, array in graph.constants.items()
        if name not in other.constants or not np.array_equal(array, other.constants[name])
    )
    return dataclasses.replace(graph, facts=facts, batch_constants=differing)


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
