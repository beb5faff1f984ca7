"""Tensors in a TFLite file: a bounded walk over the flatbuffer tables that hold them; no offset is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.delta.elements import Kind
from contracts.delta.spans.span import SPANS_LIMIT, Span

_MARK: Final = b"TFL3"
_SUBGRAPHS, _BUFFERS = 2, 4
_TENSORS: Final = 0
_SHAPE, _TYPE, _BUFFER, _NAME, _QUANTIZATION = 0, 1, 2, 3, 4
_SCALE, _AXIS = 2, 6
_DATA: Final = 0
_KINDS: Final = {0: Kind.FP32, 1: Kind.FP16, 2: Kind.INT32, 3: Kind.UINT8, 9: Kind.INT8}


class _Odd(ValueError):
    """An offset leads out of the file."""


def tflite_spans(data: bytes) -> Iterator[Span]:
    """Yield the spans of constant tensors and of scales; nothing where the bytes are no TFLite file."""
    if data[4:8] != _MARK:
        return
    try:
        yield from _walk(data)
    except _Odd:
        return


def _walk(data: bytes) -> Iterator[Span]:
    model = _word(data, 0)
    buffers = list(_tables(data, model, _BUFFERS))
    left = SPANS_LIMIT
    for graph in _tables(data, model, _SUBGRAPHS):
        for number, tensor in enumerate(_tables(data, graph, _TENSORS)):
            left -= 1
            if left < 0:
                return
            yield from _tensor(data, tensor, number, buffers)


def _tensor(data: bytes, tensor: int, number: int, buffers: list[int]) -> Iterator[Span]:
    name = _name(data, tensor) or str(number)
    axis = 0
    quantization = _slot(data, tensor, _QUANTIZATION)
    if quantization:
        table = _follow(data, quantization)
        start, count = _vector(data, table, _SCALE)
        scale_axis = _slot(data, table, _AXIS)
        axis = _word(data, scale_axis) if scale_axis else 0
        if count:
            yield Span(name=f"{name}\0scale", kind=Kind.FP32, dims=(count,), start=start)
    place = _slot(data, tensor, _TYPE)
    kind = _KINDS.get(data[place] if place else 0)
    owner = _slot(data, tensor, _BUFFER)
    index = _word(data, owner) if owner else 0
    if kind is None or not 0 < index < len(buffers):
        return
    start, size = _vector(data, buffers[index], _DATA)
    shape, rank = _vector(data, tensor, _SHAPE)
    dims = tuple(_word(data, shape + 4 * at) for at in range(min(rank, 9)))
    if not size or rank > 8 or any(not 0 < one <= len(data) for one in dims):
        return
    if len(dims) == 4 and dims[0] == 1:
        axis = 3
    axis = axis if axis < max(rank, 1) else 0
    scale = f"{name}\0scale"
    span = Span(name=name, kind=kind, dims=dims, start=start, axis=axis, channels_last=True, scale=scale)
    if span.length == size:
        yield span


def _name(data: bytes, tensor: int) -> str:
    start, count = _vector(data, tensor, _NAME)
    if start + count > len(data):
        raise _Odd
    return data[start : start + min(count, 512)].decode("utf-8", "replace")


def _word(data: bytes, at: int) -> int:
    if not 0 <= at <= len(data) - 4:
        raise _Odd
    return int.from_bytes(data[at : at + 4], "little")


def _short(data: bytes, at: int) -> int:
    if not 0 <= at <= len(data) - 2:
        raise _Odd
    return int.from_bytes(data[at : at + 2], "little")


def _follow(data: bytes, at: int) -> int:
    return at + _word(data, at)


def _slot(data: bytes, table: int, number: int) -> int:
    """Return where the table's field lies; 0 where it has none."""
    back = _word(data, table)
    listing = table - (back - (1 << 32) if back >= 1 << 31 else back)
    if 4 + 2 * number >= _short(data, listing):
        return 0
    offset = _short(data, listing + 4 + 2 * number)
    if offset and table + offset >= len(data):
        raise _Odd
    return table + offset if offset else 0


def _vector(data: bytes, table: int, number: int) -> tuple[int, int]:
    """Return where the field's elements start and how many there are; none where there is no such field."""
    slot = _slot(data, table, number)
    if not slot:
        return 0, 0
    start = _follow(data, slot)
    return start + 4, _word(data, start)


def _tables(data: bytes, table: int, number: int) -> Iterator[int]:
    start, count = _vector(data, table, number)
    for place in range(min(count, SPANS_LIMIT)):
        yield _follow(data, start + 4 * place)
