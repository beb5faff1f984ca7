"""Evaluating what depends on constants and shapes alone, by ONNX Runtime itself: its numbers are the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.inlining import inline_branches, inline_defined, names_read

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

Shape = tuple[int, ...]

_NEVER: Final = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"})
_LARGEST: Final = 1 << 26
"""Elements of a folded constant at most; what is larger is computed on the device, or refused."""
_LARGEST_IN_ALL: Final = 1 << 28
"""Elements of all folded constants together, or eight times the model's weights: a small file can ask for any."""
_FOLDED_RATIO: Final = 8
_SMALL: Final = 1024
"""Elements up to which shape inference is shown the values of a constant."""


def fold(
    model: ModelProto, constants: dict[str, NDArray[Any]], *, known: frozenset[str]
) -> tuple[dict[str, Shape], dict[str, np.dtype[Any]]]:
    """Evaluate nodes until nothing changes; they leave the model and their results become constants.

    The model's own weights are in ``constants`` alone. Operators that are not ``known`` (any are where none are named)
    are replaced by what ONNX defines them by. Return the shape of each value that is known before running, and its
    element type.
    """
    from onnx.helper import tensor_dtype_to_np_dtype

    own = frozenset(constants)
    room = max(_LARGEST_IN_ALL, _FOLDED_RATIO * sum(array.size for array in constants.values()))
    while True:
        shapes, elements = _inferred(model, constants)
        folded = _shapes_as_constants(model, shapes) | _constant_nodes(model)
        given = {**constants, **folded}
        left = room - sum(array.size for name, array in given.items() if name not in own)
        folded |= _evaluated(model, _constant(model, given, shapes, room=left), given)
        constants.update(folded)
        kept = [node for node in model.graph.node if not all(name in constants for name in node.output if name)]
        if inline_branches(model, constants):
            continue
        if len(kept) < len(model.graph.node):
            del model.graph.node[:]
            model.graph.node.extend(kept)
        elif not known or not inline_defined(model, _typed(model, constants, shown=0), known=known):
            return shapes, {name: tensor_dtype_to_np_dtype(kind) for name, kind in elements.items()}


def _inferred(model: ModelProto, constants: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Shape], dict[str, int]]:
    """Return shapes and element types of all values."""
    from onnx.helper import np_dtype_to_tensor_dtype

    graph = _typed(_inferable(model), constants, shown=_SMALL).graph
    shapes: dict[str, Shape] = {name: tuple(array.shape) for name, array in constants.items()}
    elements = {name: np_dtype_to_tensor_dtype(array.dtype) for name, array in constants.items()}
    for item in (*graph.input, *graph.value_info, *graph.output):
        tensor = item.type.tensor_type
        if tensor.elem_type:
            elements.setdefault(item.name, tensor.elem_type)
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            shapes.setdefault(item.name, tuple(int(dim.dim_value) for dim in tensor.shape.dim))
    return shapes, elements


def _inferable(model: ModelProto) -> ModelProto:
    """Return the model with Identity in the place of GroupNormalization: onnx does not infer that it keeps shapes."""
    import onnx

    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    for node in asked.graph.node:
        if node.op_type == "GroupNormalization":
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    return asked


def _typed(model: ModelProto, constants: Mapping[str, NDArray[Any]], *, shown: int) -> ModelProto:
    """Return the model with types and shapes; of constants of more elements, inference sees the shape alone."""
    import onnx
    from onnx.helper import make_tensor_value_info, np_dtype_to_tensor_dtype

    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    read = names_read(model)
    for name, array in constants.items():
        if name not in read:
            continue
        if array.size <= shown:
            asked.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        else:
            kind = np_dtype_to_tensor_dtype(array.dtype)
            asked.graph.input.append(make_tensor_value_info(name, kind, array.shape))
    return onnx.shape_inference.infer_shapes(asked, data_prop=True)


def _constant_nodes(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Return what the Constant nodes hold."""
    import onnx

    found: dict[str, NDArray[Any]] = {}
    for node in model.graph.node:
        if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or not node.attribute:
            continue
        given = node.attribute[0]
        if given.name == "value":
            found[node.output[0]] = onnx.numpy_helper.to_array(given.t)
        elif given.name in ("value_float", "value_floats"):
            found[node.output[0]] = np.asarray(onnx.helper.get_attribute_value(given), dtype=np.float32)
        elif given.name in ("value_int", "value_ints"):
            found[node.output[0]] = np.asarray(onnx.helper.get_attribute_value(given), dtype=np.int64)
    return found


def _shapes_as_constants(model: ModelProto, shapes: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """Return the results of Shape and Size nodes whose input's shape is known."""
    found: dict[str, NDArray[Any]] = {}
    for node in model.graph.node:
        if node.op_type not in ("Shape", "Size") or node.domain not in ("", "ai.onnx") or node.input[0] not in shapes:
            continue
        sizes = shapes[node.input[0]]
        limits = {item.name: item.i for item in node.attribute}
        if node.op_type == "Size":
            found[node.output[0]] = np.asarray(int(np.prod(sizes, dtype=np.int64)), dtype=np.int64)
        else:
            cut = sizes[limits.get("start", 0) : limits.get("end", len(sizes))]
            found[node.output[0]] = np.asarray(cut, dtype=np.int64)
    return found


def _constant(
    model: ModelProto, known: Mapping[str, NDArray[Any]], shapes: Mapping[str, Shape], *, room: int
) -> tuple[NodeProto, ...]:
    """Return the nodes that depend on constants alone, directly or through each other, in order, while room is left."""
    names, found, left = set(known), [], float(room)
    for node in model.graph.node:
        given = [name for name in node.input if name]
        plain = node.domain in ("", "ai.onnx") and node.op_type not in (*_NEVER, "Constant")
        nested = any(item.HasField("g") or item.graphs for item in node.attribute)
        sizes = [float(np.prod(shapes.get(name, ()), dtype=np.float64)) for name in node.output]
        small = all(size <= _LARGEST for size in sizes) and sum(sizes) <= left
        if plain and not nested and small and all(name in names for name in given) and node.output[0] not in names:
            found.append(node)
            left -= sum(sizes)
            names.update(node.output)
    return tuple(found)


def _evaluated(
    model: ModelProto, nodes: Sequence[NodeProto], known: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the results of the nodes; those that ONNX Runtime refuses are left as they are."""
    if not nodes:
        return {}
    together = _run(model, nodes, known)
    if together is not None:
        return together
    found: dict[str, NDArray[Any]] = {}
    for node in nodes:
        if all(name in known or name in found for name in node.input if name):
            found |= _run(model, (node,), {**known, **found}) or {}
    return found


def _run(
    model: ModelProto, nodes: Sequence[NodeProto], known: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]] | None:
    import onnx

    from optimizer.errors import MeasureFailed, ModelError
    from optimizer.formats.onnx_format import OnnxSession

    made = [name for node in nodes for name in node.output if name]
    needed = {name for node in nodes for name in node.input if name} - set(made)
    graph = onnx.GraphProto(name="constants")
    graph.node.extend(nodes)
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(known[name]), name) for name in sorted(needed))
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    asked = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=graph)
    try:
        session = OnnxSession(asked.SerializeToString(), name="constants", threads=1)
        return {name: np.asarray(value) for name, value in session.run({}).items()}
    except (MeasureFailed, ModelError):
        return None
