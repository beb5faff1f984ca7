"""ORT-format files: what ONNX Runtime saves of a model for itself. Read without onnx, run as ONNX files are.

They are run by the ONNX Runtime that wrote them or a newer one; the weights are inside, the graph is optimized.
"""

from __future__ import annotations

from typing import Final

from contracts.tensors import TensorSpec
from optimizer.errors import MeasureFailed, ModelError
from optimizer.formats.onnx_format import ELEMENTS, OnnxSession, are_quantized, observed_shapes
from optimizer.formats.ort_flatbuffer import Table, Value, operators, read_tables
from optimizer.model import Format, ModelSpec

_FIXED: Final = 1
"""A dimension's type where its size is a number."""


def load(content: bytes, name: str) -> ModelSpec:
    """Return what an ORT-format file's bytes say of its tensors.

    Raises:
        ModelError: not such a file, damaged, of a newer version, or with tensors that are not served.
        LibraryMissing: onnxruntime is not installed.
    """
    try:
        OnnxSession(content, name=name, threads=1)
    except MeasureFailed as error:
        raise ModelError(f"{error}; give the .onnx file that it was made from") from error
    try:
        root = read_tables(content)
        return _read(root, content, name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{name}: this ORT-format file cannot be read ({error}); give the .onnx file that it was made from"
        ) from error


def _read(root: Table, content: bytes, name: str) -> ModelSpec:
    graph = _inner(_inner(root, 1), 7)
    weights = {item[0] for item in _entries(graph, 0)}
    types = {item[0]: item for item in _entries(graph, 1)}
    inputs = tuple(_spec(types[key], name) for key in _names(graph, 5) if key not in weights)
    seen = observed_shapes(content, inputs, name) if any(_is_vague(types[key]) for key in _names(graph, 6)) else {}
    outputs = tuple(_spec(types[key], name, seen.get(key.decode())) for key in _names(graph, 6))
    used = operators(root)
    return ModelSpec(
        format=Format.ORT,
        name=name,
        inputs=inputs,
        outputs=outputs,
        operators=used,
        quantized=are_quantized(used),
    )


def _spec(value: Table, name: str, observed: tuple[int, ...] | None = None) -> TensorSpec:
    tensor = value[0]
    kind = _inner(_inner(value, 2), 2)
    element = ELEMENTS.get(_number(kind.get(0, 0)))
    if not isinstance(tensor, bytes) or element is None:
        raise ModelError(f"{name}: tensor {tensor!r} has an element type that is not served; cast it to float32")
    sizes = _sizes(value) if observed is None else observed
    if -1 in sizes[1:]:
        raise ModelError(f"{name}: tensor {tensor.decode()!r} has shape {sizes}; only the first size may vary")
    return TensorSpec(name=tensor.decode(), element=element, shape=sizes)


def _sizes(value: Table) -> tuple[int, ...]:
    """Return the declared shape, -1 where a size is free."""
    dims = [_inner(item, 0) if 0 in item else {} for item in _entries(_inner(_inner(_inner(value, 2), 2), 1), 0)]
    return tuple(_number(dim.get(1, 0)) if dim.get(0) == _FIXED else -1 for dim in dims)


def _is_vague(value: Table) -> bool:
    """Whether an output's shape leaves more open than the batch."""
    return 1 not in _inner(_inner(value, 2), 2) or -1 in _sizes(value)[1:]


def _inner(table: Table, slot: int) -> Table:
    value = table[slot]
    if not isinstance(value, dict):
        raise TypeError(f"no table in field {slot}")
    return value


def _entries(table: Table, slot: int) -> list[Table]:
    value = table.get(slot, [])
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _names(table: Table, slot: int) -> list[bytes]:
    value = table.get(slot, [])
    return [item for item in value if isinstance(item, bytes)] if isinstance(value, list) else []


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no number")
    return value
