"""A TFLite file as the schema's own objects: read whole, looked at, and written aligned with nothing beside the graph.

Kept apart from ``tflite_format``, which asks the interpreter: what is here needs no runtime to accept the file.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from optimizer.errors import LibraryMissing, ModelError

_ALIGNMENT_BYTES: Final = 16
_INLINE: Final = 1
"""Up to this offset a buffer's data are inside of the table; above it they lie behind the tables."""
_LEFT_OUT: Final = -1
_ROOM_BYTES: Final = 1024
"""What a tensor, its operator and its buffer's table take at most, as a rule: room is asked for once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operator of the main graph: its built-in name, and the tensors that it reads (none left out) and gives."""

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_file(content: bytes) -> Any:
    """Return the file as the schema's ``ModelT``, the data of every buffer inside it as bytes.

    Operator codes that older files state in one field are stated in both; what a file leaves out is an empty list.

    Raises:
        ModelError: it is no whole TFLite file.
        LibraryMissing: ai-edge-litert is not installed.
    """
    schema = _schema()
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    except (struct.error, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ModelError("the TFLite file is damaged or cut short; convert it again") from error
    for buffer in model.buffers:
        if buffer.offset > _INLINE:
            buffer.data = content[buffer.offset : buffer.offset + buffer.size]
        buffer.data = None if buffer.data is None or len(buffer.data) == 0 else bytes(buffer.data)
        buffer.offset, buffer.size = 0, 0
    model.signatureDefs = model.signatureDefs or []
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    return model


def write_file(model: Any) -> bytes:
    """Return the bytes of a ``ModelT``, buffers aligned as the schema asks; equal models give equal bytes."""
    import flatbuffers

    schema, buffers = _schema(), model.buffers
    tensors = sum(len(graph.tensors) for graph in model.subgraphs)
    room = sum(0 if buffer.data is None else len(buffer.data) for buffer in buffers)
    builder = flatbuffers.Builder(0)
    builder.Bytes = mmap.mmap(-1, room + _ROOM_BYTES * (1 + len(buffers) + tensors))  # memory once it is written to
    builder.head = len(builder.Bytes)
    model.buffers = [_AlignedBuffer(schema, buffer.data) for buffer in buffers]
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    model.buffers, packed = buffers, model.buffers
    return _joined(builder, packed)


def operations(model: Any) -> Iterator[Operation]:
    """Yield the operators of the main graph in their order."""
    names = operator_names()
    for operator in model.subgraphs[0].operators:
        yield Operation(
            operator=names.get(model.operatorCodes[operator.opcodeIndex].builtinCode, "unknown"),
            inputs=tuple(int(place) for place in _listed(operator.inputs) if place != _LEFT_OUT),
            outputs=tuple(int(place) for place in _listed(operator.outputs) if place != _LEFT_OUT),
        )


def operator_names() -> dict[int, str]:
    """Return the built-in operators' names by number, as in ``CONV_2D``."""
    return {number: name for name, number in vars(_schema().BuiltinOperator).items() if not name.startswith("_")}


def element_names() -> dict[int, str]:
    """Return the element types' names by number, as in ``FLOAT32``."""
    return {number: name for name, number in vars(_schema().TensorType).items() if not name.startswith("_")}


def tensor_names(model: Any) -> list[str]:
    """Return a name for each tensor of the main graph that no other has: its own where that is so."""
    taken: set[str] = set()
    names = []
    for tensor in model.subgraphs[0].tensors:
        given = (tensor.name or b"").decode("utf-8", "replace") or "tensor"
        name, number = given, 1
        while name in taken:
            name, number = f"{given};{number}", number + 1
        taken.add(name)
        names.append(name)
    return names


def is_dynamic_range(content: bytes) -> bool:
    """Return whether some operator computes floats from 8-bit weights, as in a product or a look-up.

    Raises:
        ModelError: it is no whole TFLite file.
    """
    model, elements = read_file(content), element_names()
    kinds = [elements[tensor.type] for tensor in model.subgraphs[0].tensors]
    return any(
        one.operator != "DEQUANTIZE"
        and any(kinds[place] == "INT8" for place in one.inputs)
        and any(kinds[place] == "FLOAT32" for place in one.outputs)
        for one in operations(model)
    )


def is_constant(model: Any, tensor: Any) -> bool:
    """Return whether the tensor's values stand in the file."""
    return model.buffers[tensor.buffer].data is not None


def give_data(model: Any, tensor: Any, data: bytes) -> None:
    """Let the tensor hold these values, in a buffer that no other tensor points to."""
    buffer = _schema().BufferT()
    buffer.data, buffer.offset, buffer.size = data, 0, 0
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1


def _listed(places: Sequence[int] | None) -> Sequence[int]:
    return places if places is not None else ()


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise LibraryMissing("ai-edge-litert", "a TFLite model") from error
    return schema


class _AlignedBuffer:
    """A buffer table with room for its data, aligned; the generated code does not align. ``_joined`` puts them in.

    ``begins`` says where the data are to stand, in bytes before the file's end.
    """

    def __init__(self, schema: Any, data: bytes | memoryview | None) -> None:
        self._schema, self.data = schema, data
        self.begins = 0

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the name that the generated code calls
        """Write the table; return where it begins, as the generated code wants it."""
        start = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), _ALIGNMENT_BYTES)
            builder.head = builder.Head() - len(self.data)
            self.begins = builder.Offset()
            start = builder.EndVector()
        self._schema.BufferStart(builder)
        if start is not None:
            self._schema.BufferAddData(builder, start)
        return int(self._schema.BufferEnd(builder))


def _joined(builder: Any, buffers: Sequence[_AlignedBuffer]) -> bytes:
    """Return what was built with the buffers' data in their places: each is copied once."""
    built = memoryview(builder.Bytes)
    parts: list[bytes | memoryview] = []
    place = builder.Head()
    for buffer in sorted(buffers, key=lambda one: -one.begins):
        if buffer.data is not None:
            start = len(built) - buffer.begins
            parts += [built[place:start], buffer.data]
            place = start + len(buffer.data)
    return b"".join([*parts, built[place:]])
