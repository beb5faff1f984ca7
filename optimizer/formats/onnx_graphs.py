"""Walking through an ONNX model: its graph, the graphs inside its operations, and every tensor that they hold.

``skeleton`` reads a file without copying its weights.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GRAPH: Final = 7
_FUNCTIONS: Final = 25
_INITIALIZER: Final = 5
_RAW_DATA: Final = 9
_LARGE_BYTES: Final = 4096
"""From here on a weight is not copied."""
_MOST_OF_MODEL, _MOST_OF_GRAPH, _MOST_OF_TENSOR = 1 << 12, 1 << 17, 1 << 6
"""Fields of one message at most: a file can be all fields, and a look at one of them takes microseconds."""
_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5


def entries(graph: Any) -> Any:
    """Return the list of a graph's own operations, to be read or changed."""
    return graph.node


def graphs(graph: Any) -> Iterator[Any]:
    """Yield the graph (or function) and every graph inside its operations, outer ones first."""
    waiting = [graph]
    while waiting:
        each = waiting.pop()
        yield each
        for entry in entries(each):
            waiting.extend(nested(entry))


def nested(entry: Any) -> Iterator[Any]:
    """Yield the graphs that are an operation's own attributes, as the branches of If are."""
    for attribute in entry.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def operations(proto: Any) -> Iterator[Any]:
    """Yield every operation of the model, its functions and inner graphs included."""
    for owner in (proto.graph, *proto.functions):
        for graph in graphs(owner):
            yield from entries(graph)


def tensors(proto: Any) -> Iterator[Any]:
    """Yield every constant of the model: initializers and attributes, those of inner graphs included."""
    for owner in (proto.graph, *proto.functions):
        for graph in graphs(owner):
            yield from getattr(graph, "initializer", ())
            for sparse in getattr(graph, "sparse_initializer", ()):
                yield from (sparse.values, sparse.indices)
            for entry in entries(graph):
                yield from _attributes(entry)


def _attributes(entry: Any) -> Iterator[Any]:
    for attribute in entry.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for each in (*sparse, *attribute.sparse_tensors):
            yield from (each.values, each.indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """An ONNX file without the bytes of its large weights, and those weights by name as views into the file."""

    proto: Any
    weights: Mapping[str, NDArray[np.float32]]


def skeleton(content: bytes) -> Skeleton | None:
    """Return the file's skeleton, none of its weights copied; None where it is not laid out as exporters do.

    It reads the three levels of protobuf that lead to a float32 weight; all else is onnx's own to read.

    Raises:
        google.protobuf.message.DecodeError: what is left is no ONNX model.
    """
    onnx = importlib.import_module("onnx")
    view = memoryview(content)
    found: dict[str, NDArray[np.float32]] = {}
    try:
        fields = tuple(_fields(view, 0, len(view), most=_MOST_OF_MODEL))
        (graph,) = (one for one in fields if one.number == _GRAPH and one.sized)
        inner: list[bytes | memoryview] = []
        for one in _fields(view, graph.value, graph.end, most=_MOST_OF_GRAPH):
            part = view[one.start : one.end]
            inner += _without_values(onnx, part, one, found) if one.number == _INITIALIZER and one.sized else [part]
    except (IndexError, ValueError):
        return None
    if any(one.number == _FUNCTIONS for one in fields):
        return None
    parts = [view[: graph.start], *_sized(_GRAPH, inner), view[graph.end :]]
    proto = onnx.load_model_from_string(b"".join(parts))
    names = [item.name for item in proto.graph.initializer]
    return Skeleton(proto=proto, weights=found) if len(set(names)) == len(names) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One field of a message: its number, where it starts, where its value does, and where it ends.

    A ``sized`` one says how long it is: a message, a text or bytes.
    """

    number: int
    sized: bool
    start: int
    value: int
    end: int


def _fields(view: memoryview, start: int, end: int, *, most: int) -> Iterator[_Field]:
    """Yield the fields of the message that lies there.

    Raises:
        ValueError: it is cut short, has more fields than that, or holds what protobuf no longer writes.
        IndexError: it is cut short.
    """
    place, count = start, 0
    while place < end:
        count += 1
        if count > most:
            raise ValueError("more fields than such a message has")
        key, value = _number(view, place)
        kind = key & 7
        if kind == _VARINT:
            _, after = _number(view, value)
        elif kind == _SIZED:
            size, value = _number(view, value)
            after = value + size
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            after = value + (8 if kind == _EIGHT_BYTES else 4)
        else:
            raise ValueError("a field of no known kind")
        if after > end:
            raise ValueError("a field ends outside of its message")
        yield _Field(number=key >> 3, sized=kind == _SIZED, start=place, value=value, end=after)
        place = after


def _number(view: memoryview, place: int) -> tuple[int, int]:
    """Return the number written there in groups of seven bits, and where it ends."""
    number, shift = 0, 0
    while True:
        byte = view[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place
        if shift > 63:
            raise ValueError("a number without an end")


def _without_values(
    onnx: ModuleType, part: memoryview, field: _Field, found: dict[str, NDArray[np.float32]]
) -> list[bytes | memoryview]:
    """Return an initializer's field, its values left out and added to the others where they are large floats."""
    if len(part) < _LARGE_BYTES:
        return [part]
    start, end = field.value - field.start, len(part)
    inner = tuple(_fields(part, start, end, most=_MOST_OF_TENSOR))
    raw = [one for one in inner if one.number == _RAW_DATA]
    rest: list[bytes | memoryview] = [part[one.start : one.end] for one in inner if one.number != _RAW_DATA]
    if len(raw) != 1 or not raw[0].sized or raw[0].end - raw[0].value < _LARGE_BYTES:
        return [part]
    tensor = onnx.TensorProto.FromString(b"".join(rest))
    plain = tensor.data_type == onnx.TensorProto.FLOAT and tensor.name and tensor.name not in found
    values = part[raw[0].value : raw[0].end]
    if not plain or tensor.data_location or len(values) != 4 * math.prod(tensor.dims):
        return [part]
    found[tensor.name] = np.frombuffer(values, dtype="<f4").reshape(tuple(tensor.dims))
    return _sized(_INITIALIZER, rest)


def _sized(number: int, parts: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return the parts as one field of that number."""
    head = bytearray()
    for each in (number << 3 | _SIZED, sum(map(len, parts))):
        left = each
        while left > 0x7F:
            head.append(left & 0x7F | 0x80)
            left >>= 7
        head.append(left)
    return [bytes(head), *parts]
