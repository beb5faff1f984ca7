"""Constants of an ONNX model: all of them initializers, each once, written in the fewest bytes, none that nobody reads.

Names are unique over all graphs of the model here: see ``names``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.onnx_graphs import graphs

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLAIN: Final = frozenset({"float32", "float64", "float16", "bool", "int8", "uint8", "int16", "uint16"}) | frozenset(
    {"int32", "uint32", "int64", "uint64"}
)
"""Element types whose bytes in a file are those in memory."""
_LISTS: Final = {"int64": "int64_data", "int32": "int32_data"}
"""Where small numbers take a byte each."""
_FIRST_WITHOUT_INPUTS: Final = 4
"""Version of the format since which an initializer need not be an input."""
_OF_ATTRIBUTE: Final = {
    "value_float": "float32",
    "value_floats": "float32",
    "value_int": "int64",
    "value_ints": "int64",
}


def gather(graph: Any) -> None:
    """Turn each Constant operation into an initializer, unless it gives an output of its graph."""
    for each in graphs(graph):
        given = {item.name for item in each.output}
        kept = []
        for entry in each.node:
            movable = entry.op_type == "Constant" and not entry.domain and entry.output[0] not in given
            tensor = _constant(entry) if movable else None
            if tensor is None:
                kept.append(entry)
            else:
                each.initializer.append(tensor)
        if len(kept) < len(each.node):
            _replace(each.node, kept)


def fix_overridable(proto: Any) -> None:
    """Let initializers of old files be constants alone: before version 4 they had to be inputs as well."""
    if 0 < proto.ir_version < _FIRST_WITHOUT_INPUTS:
        constants = {item.name for item in proto.graph.initializer}
        _replace(proto.graph.input, [item for item in proto.graph.input if item.name not in constants])
        proto.ir_version = _FIRST_WITHOUT_INPUTS


def share(graph: Any) -> None:
    """Keep one of the equal constants of each graph, and no constant that nobody reads."""
    instead: dict[str, str] = {}
    for each in graphs(graph):
        fixed = {item.name for item in (*each.input, *each.output)}
        first: dict[bytes, str] = {}
        for tensor in each.initializer:
            if tensor.name not in fixed:
                kept = first.setdefault(_content(tensor), tensor.name)
                instead |= {tensor.name: kept} if kept != tensor.name else {}
    for each in graphs(graph):
        for entry in each.node:
            entry.input[:] = [instead.get(name, name) for name in entry.input]
    drop_unread(graph)


def drop_unread(graph: Any) -> None:
    """Remove the constants that nobody reads."""
    everywhere = list(graphs(graph))
    read = {name for each in everywhere for entry in each.node for name in entry.input}
    for each in everywhere:
        own = read | {item.name for item in (*each.input, *each.output)}
        if any(tensor.name not in own for tensor in each.initializer):
            _replace(each.initializer, [tensor for tensor in each.initializer if tensor.name in own])


def write_short(graph: Any) -> None:
    """Write each constant in the form that takes the fewest bytes."""
    for each in graphs(graph):
        for tensor in each.initializer:
            _write_short(tensor)


def values(tensor: Any) -> NDArray[Any] | None:
    """Return the values of a tensor of one of the plain element types; None for another, or one outside the file."""
    from onnx import TensorProto, helper, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL or tensor.data_type not in helper.get_all_tensor_dtypes():
        return None
    if np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).name not in _PLAIN:
        return None
    held: NDArray[Any] = numpy_helper.to_array(tensor)
    return held


def _constant(entry: Any) -> Any:
    """Return what a Constant operation gives as a tensor; None where it is of a kind that stays."""
    from onnx import helper, numpy_helper

    (attribute,) = entry.attribute
    if attribute.name == "value":
        tensor = type(attribute.t).FromString(attribute.t.SerializeToString())
    elif attribute.name in _OF_ATTRIBUTE:
        given = np.asarray(helper.get_attribute_value(attribute), dtype=_OF_ATTRIBUTE[attribute.name])
        tensor = numpy_helper.from_array(given)
    else:
        return None
    tensor.name = entry.output[0]
    return tensor


def _content(tensor: Any) -> bytes:
    """Return what tells a constant's values and shape from others."""
    held = values(tensor)
    if held is not None:
        return b"%d %s " % (tensor.data_type, repr(held.shape).encode()) + held.tobytes()
    copy = type(tensor).FromString(tensor.SerializeToString())
    copy.name = ""
    content: bytes = copy.SerializeToString(deterministic=True)
    return content


def _write_short(tensor: Any) -> None:
    held = values(tensor)
    if held is None or not held.size:
        return
    for name in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(name)
    raw = held.astype(held.dtype.newbyteorder("<")).tobytes()
    if held.dtype.name in _LISTS and _list_bytes(held) < len(raw):
        tensor.ClearField("raw_data")
        getattr(tensor, _LISTS[held.dtype.name]).extend(held.ravel().tolist())
    else:
        tensor.raw_data = raw


def _list_bytes(held: NDArray[Any]) -> int:
    """Return how many bytes the numbers take one by one: seven bits a byte, ten bytes for one below zero."""
    known = held.astype(np.int64)
    bytes_each = sum((known >= 2**bits).astype(np.int64) for bits in range(7, 63, 7)) + 1
    return int(np.where(known < 0, 10, bytes_each).sum())


def _replace(repeated: Any, items: list[Any]) -> None:
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del repeated[:]
    repeated.extend(copies)
