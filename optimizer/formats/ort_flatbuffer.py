"""The bytes of an ORT-format file as tables, and back in one canonical order.

ONNX Runtime writes the same model in another order each time (its maps are salted by addresses). ``read_tables``
gives what is in the file, ``write_tables`` writes it with every unordered list sorted by name: equal models, equal
bytes. The layout is that of ONNX Runtime's ``ort.fbs``, version 6 of the format; a file with a field that is not
listed here is refused rather than written without it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

IDENTIFIER: Final = b"ORTM"
"""At bytes 4 to 7 of every ORT-format file."""

Value: TypeAlias = "int | float | bytes | list[bytes] | dict[int, Value] | list[dict[int, Value]]"
Table: TypeAlias = "dict[int, Value]"

_OFFSET = struct.Struct("<I")
_SIGNED_OFFSET = struct.Struct("<i")
_SLOT = struct.Struct("<H")
_DEPTH_LIMIT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """How one field is laid out: exactly one of the four is given.

    ``scalar`` is a struct format; ``raw`` the size of an element, and its alignment, in a vector of plain
    ones; ``text`` whether it is a string, ``texts`` a vector of them; ``table`` a table, ``tables`` a vector of them.
    ``key`` is the slot by which a vector of tables is sorted, None where its order has a meaning.
    """

    scalar: str = ""
    raw: tuple[int, int] | None = None
    text: bool = False
    texts: bool = False
    table: str = ""
    tables: str = ""
    key: int | None = None


_TEXT = _Field(text=True)
_TEXTS = _Field(texts=True)
_I32, _I64, _U32, _F32, _I8, _U8 = (_Field(scalar=f"<{code}") for code in "iqIfbB")
_BYTES, _I32S, _I64S, _EDGES = (_Field(raw=size) for size in ((1, 1), (4, 4), (8, 8), (12, 4)))
_UNION: Final = {1: "TensorTypeAndShape", 2: "SequenceType", 3: "MapType"}


def _one(table: str) -> _Field:
    return _Field(table=table)


def _many(table: str, *, key: int | None = None) -> _Field:
    return _Field(tables=table, key=key)


_SCHEMA: Final[dict[str, dict[int, _Field]]] = {
    "InferenceSession": {0: _TEXT, 1: _one("Model"), 3: _one("KernelTypeStrResolver")},
    "Model": {0: _I64, 1: _many("OperatorSetId", key=0), 2: _TEXT, 3: _TEXT, 4: _TEXT, 5: _I64, 6: _TEXT}
    | {7: _one("Graph"), 8: _TEXT, 9: _many("StringStringEntry", key=0)},
    "Graph": {0: _many("Tensor", key=0), 1: _many("ValueInfo", key=0), 2: _many("Operation"), 3: _U32}
    | {4: _many("Edges", key=0), 5: _TEXTS, 6: _TEXTS, 7: _many("SparseTensor")},
    "Operation": {0: _TEXT, 1: _TEXT, 2: _TEXT, 3: _I32, 4: _U32, 5: _TEXT, 6: _I32, 7: _TEXT, 8: _TEXTS, 9: _TEXTS}
    | {10: _many("Attribute", key=0), 11: _I32S, 12: _TEXTS},
    "Edges": {0: _U32, 1: _EDGES, 2: _EDGES},
    "Tensor": {0: _TEXT, 1: _TEXT, 2: _I64S, 3: _I32, 4: _BYTES, 5: _TEXTS, 6: _I64},
    "SparseTensor": {0: _one("Tensor"), 1: _one("Tensor"), 2: _I64S},
    "Attribute": {0: _TEXT, 1: _TEXT, 2: _I32, 3: _F32, 4: _I64, 5: _TEXT, 6: _one("Tensor"), 7: _one("Graph")}
    | {8: _I32S, 9: _I64S, 10: _TEXTS, 11: _many("Tensor"), 12: _many("Graph")},
    "ValueInfo": {0: _TEXT, 1: _TEXT, 2: _one("TypeInfo")},
    "TypeInfo": {0: _TEXT, 1: _U8, 2: _one("union")},
    "TensorTypeAndShape": {0: _I32, 1: _one("Shape")},
    "SequenceType": {0: _one("TypeInfo")},
    "MapType": {0: _I32, 1: _one("TypeInfo")},
    "Shape": {0: _many("Dimension")},
    "Dimension": {0: _one("DimensionValue"), 1: _TEXT},
    "DimensionValue": {0: _I8, 1: _I64, 2: _TEXT},
    "OperatorSetId": {0: _TEXT, 1: _I64},
    "StringStringEntry": {0: _TEXT, 1: _TEXT},
    "KernelTypeStrResolver": {0: _many("OpIdKernelTypeStrArgsEntry", key=0)},
    "OpIdKernelTypeStrArgsEntry": {0: _TEXT, 1: _many("KernelTypeStrArgsEntry", key=0)},
    "KernelTypeStrArgsEntry": {0: _TEXT, 1: _many("ArgTypeAndIndex")},
    "ArgTypeAndIndex": {0: _I8, 1: _U32},
}


def read_tables(content: bytes) -> Table:
    """Return the file's root table: values by slot, as far as they are present.

    Raises:
        ValueError: no ORT-format file, damaged, or with fields that are not known here.
    """
    if content[4:8] != IDENTIFIER:
        raise ValueError(f"no {IDENTIFIER.decode()} at byte 4")
    try:
        return _Reader(content).table(_OFFSET.unpack_from(content, 0)[0], "InferenceSession", _DEPTH_LIMIT)
    except (struct.error, IndexError) as error:
        raise ValueError(f"damaged ({error})") from error


def write_tables(root: Table) -> bytes:
    """Return the canonical bytes of the tables."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_write_table(builder, root, "InferenceSession"), IDENTIFIER)
    return bytes(builder.Output())


def operators(root: Table) -> frozenset[str]:
    """Return the names of the operators that the file's graph and its subgraphs use."""
    graph = _table(_table(root, 1), 7)
    return frozenset(_graph_operators(graph))


def _graph_operators(graph: Table) -> set[str]:
    found: set[str] = set()
    for entry in _tables(graph, 2):
        found.add(_text(entry, 5))
        for attribute in _tables(entry, 10):
            inner = [_table(attribute, 7)] if 7 in attribute else _tables(attribute, 12)
            found.update(*(_graph_operators(one) for one in inner))
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    content: bytes

    def table(self, place: int, kind: str, depth: int) -> Table:
        if depth == 0:
            raise ValueError("nested too deeply")
        slots = place - _SIGNED_OFFSET.unpack_from(self.content, place)[0]
        count = (_SLOT.unpack_from(self.content, slots)[0] - 4) // 2
        starts = {
            slot: place + start
            for slot in range(count)
            if (start := _SLOT.unpack_from(self.content, slots + 4 + 2 * slot)[0])
        }
        unknown = starts.keys() - _SCHEMA[kind].keys()
        if unknown:
            raise ValueError(f"{kind} has the field {min(unknown)}, which this version does not know")
        read: Table = {}
        for slot, start in starts.items():
            read[slot] = self._value(_resolved(_SCHEMA[kind][slot], read), start, depth)
        return read

    def _value(self, field: _Field, start: int, depth: int) -> Value:
        if field.scalar:
            number: int | float = struct.unpack_from(field.scalar, self.content, start)[0]
            return number
        place = self._follow(start)
        if field.text:
            return self._bytes(place, 1)
        if field.table:
            return self.table(place, field.table, depth - 1)
        if field.raw is not None:
            return self._bytes(place, field.raw[0])
        places = [self._follow(item) for item in range(place + 4, place + 4 + 4 * self._length(place, 4), 4)]
        if field.texts:
            return [self._bytes(item, 1) for item in places]
        return [self.table(item, field.tables, depth - 1) for item in places]

    def _follow(self, start: int) -> int:
        offset: int = _OFFSET.unpack_from(self.content, start)[0]
        return start + offset

    def _length(self, place: int, size: int) -> int:
        length: int = _OFFSET.unpack_from(self.content, place)[0]
        if place + 4 + length * size > len(self.content):
            raise ValueError("a list is longer than the file")
        return length

    def _bytes(self, place: int, size: int) -> bytes:
        return self.content[place + 4 : place + 4 + size * self._length(place, size)]


def _write_table(builder: Any, table: Table, kind: str) -> int:
    """Write what the table points to, then the table; return its place."""
    written: dict[int, int | float] = {}
    for slot, value in sorted(table.items()):
        field = _resolved(_SCHEMA[kind][slot], table)
        written[slot] = _write_value(builder, field, value)
    builder.StartObject(max(_SCHEMA[kind]) + 1)
    for slot, place in written.items():
        field = _SCHEMA[kind][slot]
        if field.scalar:
            _prepend(builder, field.scalar, place)
        else:
            builder.PrependUOffsetTRelative(place)
        builder.Slot(slot)
    return int(builder.EndObject())


def _write_value(builder: Any, field: _Field, value: Any) -> int | float:
    if field.scalar:
        number: int | float = value
        return number
    if field.text:
        return int(builder.CreateSharedString(value))
    if field.table:
        return _write_table(builder, value, field.table)
    if field.raw is not None:
        return _write_raw(builder, value, *field.raw)
    if field.texts:
        places = [builder.CreateSharedString(item) for item in value]
    else:
        ordered = value if field.key is None else sorted(value, key=lambda item: item.get(field.key, 0))
        places = [_write_table(builder, item, field.tables) for item in ordered]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _write_raw(builder: Any, raw: bytes, size: int, alignment: int) -> int:
    builder.StartVector(size, len(raw) // size, alignment)
    builder.head -= len(raw)
    builder.Bytes[builder.head : builder.head + len(raw)] = raw
    return int(builder.EndVector())


def _prepend(builder: Any, scalar: str, value: float) -> None:
    words = {"<i": "Int32", "<q": "Int64", "<I": "Uint32", "<f": "Float32", "<b": "Int8", "<B": "Uint8"}
    getattr(builder, f"Prepend{words[scalar]}")(value)


def _resolved(field: _Field, read: Table) -> _Field:
    """Return the field with the table that the union's type (in the slot before) says."""
    if field.table != "union":
        return field
    kind = read.get(1)
    if not isinstance(kind, int) or kind not in _UNION:
        raise ValueError(f"a type of kind {kind!r}, which this version does not know")
    return _one(_UNION[kind])


def _table(table: Table, slot: int) -> Table:
    value = table.get(slot)
    return value if isinstance(value, dict) else {}


def _tables(table: Table, slot: int) -> list[Table]:
    value = table.get(slot, [])
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(table: Table, slot: int) -> str:
    value = table.get(slot, b"")
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
