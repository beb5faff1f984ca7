"""Tensors in an ONNX file: a bounded walk over the protobuf fields that hold them; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from contracts.delta.elements import Kind
from contracts.delta.spans.span import SPANS_LIMIT, Span

_FIELDS_LIMIT: Final = 1_000_000
_GRAPH, _OPERATION, _INITIALIZER = 7, 1, 5
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE, _ATTRIBUTE_TENSOR = 1, 2, 4, 5, 5
_DIMS, _TYPE, _FLOATS, _NAME, _RAW = 1, 2, 4, 8, 9
_KINDS: Final = {1: Kind.FP32, 2: Kind.UINT8, 3: Kind.INT8, 6: Kind.INT32, 10: Kind.FP16}
_PLANAR: Final = 2


class _Odd(ValueError):
    """The bytes are no protobuf."""


@dataclass(slots=True)
class _Found:
    tensors: list[Span] = field(default_factory=list)
    scales: dict[str, str] = field(default_factory=dict)
    fields_left: int = _FIELDS_LIMIT


def onnx_spans(data: bytes) -> Iterator[Span]:
    """Yield the spans of initializers and constants; nothing where the bytes are no ONNX file."""
    found = _Found()
    try:
        for number, start, end in _messages(data, 0, len(data), found):
            if number == _GRAPH:
                _walk_graph(data, start, end, found)
    except _Odd:
        return
    sizes = {one.name: one.count for one in found.tensors}
    for one in found.tensors[:SPANS_LIMIT]:
        scale = found.scales.get(one.name, "")
        last = len(one.dims) == _PLANAR and sizes.get(scale, 0) == one.dims[1] != one.dims[0]
        yield Span(name=one.name, kind=one.kind, dims=one.dims, start=one.start, axis=1 if last else 0, scale=scale)


def _walk_graph(data: bytes, start: int, end: int, found: _Found) -> None:
    for number, first, last in _messages(data, start, end, found):
        if number == _INITIALIZER:
            _take_tensor(data, first, last, found=found, name="")
        elif number == _OPERATION:
            _walk_operation(data, first, last, found)


def _walk_operation(data: bytes, start: int, end: int, found: _Found) -> None:
    inputs, output, operator, attributes = [], "", "", []
    for number, first, last in _messages(data, start, end, found):
        if number == _INPUT:
            inputs.append(_text(data, first, last))
        elif number == _OUTPUT:
            output = output or _text(data, first, last)
        elif number == _OPERATOR:
            operator = _text(data, first, last)
        elif number == _ATTRIBUTE:
            attributes.append((first, last))
    if operator == "DequantizeLinear" and len(inputs) > 1:
        found.scales[inputs[0]] = inputs[1]
    for first, last in attributes if operator == "Constant" else ():
        for number, inner, inner_end in _messages(data, first, last, found):
            if number == _ATTRIBUTE_TENSOR:
                _take_tensor(data, inner, inner_end, found=found, name=output)


def _take_tensor(data: bytes, start: int, end: int, *, found: _Found, name: str) -> None:
    dims: list[int] = []
    kind, content = None, (0, 0)
    for number, wire, first, last in _fields(data, start, end, found):
        if number == _DIMS and wire == 0:
            dims.append(first)
        elif number == _DIMS:
            dims.extend(_packed(data, first, last))
        elif number == _TYPE and wire == 0:
            kind = _KINDS.get(first)
        elif number == _NAME:
            name = _text(data, first, last)
        elif wire == _PLANAR and (number in (_RAW, _FLOATS)):
            content = (first, last)
    if kind is None or len(dims) > 8 or any(not 0 < size <= len(data) for size in dims):
        return
    span = Span(name=name, kind=kind, dims=tuple(dims), start=content[0])
    if span.length == content[1] - content[0]:
        found.tensors.append(span)


def _messages(data: bytes, start: int, end: int, found: _Found) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field that has a length."""
    for number, wire, first, last in _fields(data, start, end, found):
        if wire == 2:
            yield number, first, last


def _fields(data: bytes, start: int, end: int, found: _Found) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, and start and end of each field's bytes, or its value where it is one number."""
    while start < end:
        found.fields_left -= 1
        if found.fields_left < 0:
            raise _Odd
        tag, start = _number(data, start, end)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, start = _number(data, start, end)
            yield number, wire, value, start
            continue
        if wire == 2:
            size, start = _number(data, start, end)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or start + size > end or number == 0:
            raise _Odd
        yield number, wire, start, start + size
        start += size


def _number(data: bytes, start: int, end: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if start + place >= end:
            break
        byte = data[start + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, start + place + 1
    raise _Odd


def _packed(data: bytes, start: int, end: int) -> Iterator[int]:
    while start < end:
        value, start = _number(data, start, end)
        yield value


def _text(data: bytes, start: int, end: int) -> str:
    return data[start : min(end, start + 512)].decode("utf-8", "replace")
