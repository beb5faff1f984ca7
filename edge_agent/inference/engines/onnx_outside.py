"""Does an ONNX file send its reader to other files? Found without onnx: one walk over the file's protobuf fields.

A tensor of an ONNX file may lie in a file of which it only gives the path ("external data"), and ONNX Runtime would
open that path on the device. An artifact is whole, so such a file is refused before the runtime sees it [artifact-3.4].

>>> names_other_files(bytes((0x3A, 4, 0x2A, 2, 0x70, 1)))
True
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_WORD: Final = b"location"
"""The key under which a tensor names its file: a file without the word names none."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEPTH_LIMIT: Final = 64
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

_TENSOR: Final = "tensor"
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "operation", 11: "attribute"},
    "graph": {1: "operation", 5: _TENSOR, 15: "sparse"},
    "operation": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
"""Which fields of each message of onnx.proto lead to a tensor, and through which message."""


def names_other_files(model: bytes) -> bool:
    """Return whether a tensor of the ONNX file lies, or claims to lie, in another file; damage counts as yes."""
    try:
        return _leads_outside("model", memoryview(model), _DEPTH_LIMIT)
    except (IndexError, RecursionError):
        return _WORD in model


def _leads_outside(kind: str, message: memoryview, depth: int) -> bool:
    if depth == 0:
        raise RecursionError
    inside = _INSIDE[kind]
    for field, value in _fields(message):
        if kind == _TENSOR and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
            return True
        if field in inside and isinstance(value, memoryview) and _leads_outside(inside[field], value, depth - 1):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield each field's number and its value: a whole number, or the bytes of text and messages.

    Raises:
        IndexError: the message is damaged.
    """
    at = 0
    while at < len(message):
        key, at = _whole_number(message, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _whole_number(message, at)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            length, at = _whole_number(message, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise IndexError(f"wire type {wire}")
        if at + length > len(message):
            raise IndexError(f"a field of {length} bytes")
        yield key >> 3, message[at : at + length]
        at += length


def _whole_number(message: memoryview, at: int) -> tuple[int, int]:
    """Return the varint that stands there and where the next field begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise IndexError("a number of more than ten bytes")
