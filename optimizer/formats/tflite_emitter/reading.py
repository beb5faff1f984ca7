"""From an ONNX file to an ``OnnxGraph``: constants folded, every shape known, the axis of the batch found.

Where the model leaves its batch free the graph is read twice, for a batch of 1 and of 2: what differs grows with it.
With ``inlining`` and ``folding`` it is where onnx's own objects end: rewriting and lowering see an ``OnnxGraph`` alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.errors import PassFailed
from optimizer.formats.onnx_graphs import skeleton
from optimizer.formats.tflite_emitter.folding import fold
from optimizer.formats.tflite_emitter.graph import Fact, OnnxGraph, Operation
from optimizer.formats.tflite_emitter.inlining import inline_functions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, ValueInfoProto

_OTHER_BATCH: Final = 2
_SERVED: Final = frozenset({"float32", "int32", "int64", "bool", "uint8", "int8"})
_FLOAT: Final = np.dtype(np.float32)
_WRITTEN: Final = frozenset({*_SERVED, "float64", "int16", "uint16", "uint32"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What one batch size shows: the shapes of all values, the constants, and the operations that are left."""

    shapes: Mapping[str, tuple[int, ...]]
    elements: Mapping[str, np.dtype[Any]]
    constants: Mapping[str, NDArray[Any]]
    operations: tuple[Operation, ...]


def read_graph(content: bytes, *, known: Iterable[str] = ()) -> OnnxGraph:
    """Return the graph of an ONNX file at a batch of 1.

    Operators that ONNX defines by others are replaced by those, but for the ``known`` ones (none where none are given).

    Raises:
        PassFailed: an input's type is not served, a size other than the batch is free, or it computes in float16.
    """
    import onnx

    light = skeleton(content)
    model = inline_functions(onnx.load_from_string(content) if light is None else light.proto)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if opset is None:
        raise PassFailed("export-tflite: the file names no version of ONNX's own operators; export the model again")
    large = {} if light is None else light.weights
    constants = {
        item.name: large[item.name] if item.name in large else onnx.numpy_helper.to_array(item)
        for item in model.graph.initializer
    }
    _leave_weights_out(model, frozenset(constants))
    _leave_empty_axes_out(model, constants)
    free = [item.name for item in model.graph.input if _has_free_batch(item)]
    kept = frozenset(known)
    one = _read(model, constants, batch=1, known=kept)
    graph = OnnxGraph(
        operations=one.operations,
        constants=one.constants,
        facts=_facts(one),
        inputs=tuple(item.name for item in model.graph.input),
        outputs=tuple((item.name, item.name) for item in model.graph.output),
        opset=opset,
    )
    _check_sources(graph)
    return _with_batch(graph, _read(model, constants, batch=_OTHER_BATCH, known=kept)) if free else graph


def with_fixed_batch(graph: OnnxGraph, reason: str) -> OnnxGraph:
    """Return the graph for a batch of 1 alone, and why."""
    facts = {name: dataclasses.replace(fact, batch=None) for name, fact in graph.facts.items()}
    return dataclasses.replace(graph, facts=facts, batch_constants=frozenset(), fixed_batch=reason)


def _leave_weights_out(model: ModelProto, known: frozenset[str]) -> None:
    """Take the weights out of the model: they are kept beside it, and copies and inference are quick without."""
    inputs = [item for item in model.graph.input if item.name not in known]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    del model.graph.initializer[:]
    del model.graph.value_info[:]


def _leave_empty_axes_out(model: ModelProto, constants: Mapping[str, NDArray[Any]]) -> None:
    """Take an empty list of axes from Squeeze: ONNX Runtime takes it for none, onnx's inference for a list."""
    for node in model.graph.node:
        if node.op_type == "Squeeze" and len(node.input) > 1:
            axes = constants.get(node.input[1])
            if axes is not None and axes.size == 0:
                del node.input[1:]


def _has_free_batch(item: ValueInfoProto) -> bool:
    """Return whether the input's batch is free; refuse what else is free, and types that are not served."""
    from onnx.helper import tensor_dtype_to_np_dtype

    tensor = item.type.tensor_type
    if not tensor.elem_type or not tensor.HasField("shape"):
        raise PassFailed(f"export-tflite: input {item.name!r} is no tensor of a known shape; export it as one")
    element = tensor_dtype_to_np_dtype(tensor.elem_type).name
    if element not in _SERVED:
        raise PassFailed(
            f"export-tflite: input {item.name!r} is {element}; inputs of {', '.join(sorted(_SERVED))} are written: "
            "convert it before the model"
        )
    free = [place for place, dim in enumerate(tensor.shape.dim) if dim.dim_value <= 0]
    if any(free):
        raise PassFailed(f"export-tflite: size {free[-1]} of input {item.name!r} is free; export it with a fixed one")
    return bool(free)


def _read(given: ModelProto, weights: Mapping[str, NDArray[Any]], *, batch: int, known: frozenset[str]) -> _Reading:
    """Return what the model looks like at that batch."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(given)
    for item in model.graph.input:
        for dim in item.type.tensor_type.shape.dim:
            if dim.dim_value <= 0:
                dim.dim_value = batch
    for item in model.graph.output:
        item.type.tensor_type.ClearField("shape")
    constants = dict(weights)
    shapes, elements = fold(model, constants, known=known)
    operations = tuple(_operations(_live(model), shapes))
    return _Reading(shapes=shapes, elements=elements, constants=constants, operations=operations)


def _live(model: ModelProto) -> list[NodeProto]:
    """Return the nodes that an output depends on."""
    wanted = {item.name for item in model.graph.output}
    kept: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if wanted.intersection(name for name in node.output if name):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _operations(nodes: Iterable[NodeProto], shapes: Mapping[str, tuple[int, ...]]) -> Iterable[Operation]:
    """Yield the nodes as operations, each with a name of its own; a Transpose always says its order."""
    from onnx.helper import get_attribute_value

    taken: set[str] = set()
    for place, node in enumerate(nodes):
        domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
        name = node.name or f"{node.op_type}_{place}"
        name = f"{name}/{place}" if name in taken else name
        taken.add(name)
        attributes = {item.name: get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Transpose" and node.input[0] in shapes:
            attributes.setdefault("perm", tuple(reversed(range(len(shapes[node.input[0]])))))
        yield Operation(
            op=f"{domain}{node.op_type}",
            name=name,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes=attributes,
        )


def _facts(reading: _Reading) -> dict[str, Fact]:
    """Return the facts of every value whose shape is known; doubles are counted as floats.

    Raises:
        PassFailed: a value is of a type that is not computed with here.
    """
    facts: dict[str, Fact] = {}
    used = {name for operation in reading.operations for name in (*operation.inputs, *operation.outputs)}
    for name, shape in reading.shapes.items():
        element = reading.elements.get(name, _FLOAT)
        if name in used and element.name not in _WRITTEN:
            way_out = "export the float32 model" if "float16" in element.name else "export a model without such values"
            raise PassFailed(f"export-tflite: {name!r} is {element.name}, which is not computed with here; {way_out}")
        facts[name] = Fact(shape=shape, element=_FLOAT if element == np.float64 else element)
    return facts


def _check_sources(graph: OnnxGraph) -> None:
    """Refuse a graph that reads what nothing makes, as one with sparse weights."""
    made = {*graph.constants, *graph.inputs, ""}
    for operation in graph.operations:
        lacking = next((name for name in operation.inputs if name not in made), None)
        if lacking is not None:
            raise PassFailed(
                f"export-tflite: {operation.op} at {operation.name!r} reads {lacking!r}, which is no input, no weight "
                "(sparse ones are not read) and no earlier result; export the model again"
            )
        made.update(operation.outputs)
    for name, value in graph.outputs:
        if value not in made:
            raise PassFailed(f"export-tflite: nothing makes the output {name!r}; export the model again")


def _with_batch(graph: OnnxGraph, other: _Reading) -> OnnxGraph:
    """Return the graph with the axis of the batch in its facts, or with the reason why the batch stays 1."""
    if [(one.op, one.name) for one in graph.operations] != [(one.op, one.name) for one in other.operations]:
        return dataclasses.replace(graph, fixed_batch="what it computes depends on the batch")
    facts = dict(graph.facts)
    computed = {*graph.inputs, *(name for operation in graph.operations for name in operation.outputs)}
    for name in sorted(computed & set(facts)):
        shape, changed = facts[name].shape, other.shapes.get(name, ())
        grown = [axis for axis, size in enumerate(shape) if len(shape) == len(changed) and changed[axis] != size]
        whole = all(changed[axis] == _OTHER_BATCH * shape[axis] for axis in grown)
        if len(shape) != len(changed) or len(grown) > 1 or not whole:
            return dataclasses.replace(graph, fixed_batch=f"the shape of {name!r} is no plain multiple of the batch")
        facts[name] = dataclasses.replace(facts[name], batch=grown[0] if grown else None)
    differing = set()
    for name, array in graph.constants.items():
        axis = _repeated_axis(array, other.constants.get(name))
        if axis is not None:
            facts[name] = dataclasses.replace(facts[name], batch=axis)
        elif not _is_same(array, other.constants.get(name)):
            differing.add(name)
    return dataclasses.replace(graph, facts=facts, batch_constants=frozenset(differing))


def _is_same(array: NDArray[Any], other: NDArray[Any] | None) -> bool:
    return other is array or (other is not None and np.array_equal(array, other))


def _repeated_axis(array: NDArray[Any], other: NDArray[Any] | None) -> int | None:
    """Return the axis, of size 1, along which another batch merely repeats the constant; None where it does not."""
    if other is None or other is array or other.ndim != array.ndim or other.shape == array.shape:
        return None
    grown = [axis for axis in range(array.ndim) if other.shape[axis] != array.shape[axis]]
    repeated = len(grown) == 1 and array.shape[grown[0]] == 1 and other.shape[grown[0]] == _OTHER_BATCH
    return grown[0] if repeated and bool((other == array).all()) else None
