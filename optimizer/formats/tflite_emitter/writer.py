"""Building a TFLite file: tensors, constants, operators, one signature; equal calls give equal bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

SIGNATURE = "serving_default"
_SCHEMA_VERSION = 3
_ALIGNMENT_BYTES = 16
"""The schema asks for it (``force_align``); the generated Python code does not do it."""


_ELEMENTS = {
    "float32": "FLOAT32",
    "float64": "FLOAT32",
    "float16": "FLOAT16",
    "int32": "INT32",
    "int64": "INT64",
    "int16": "INT16",
    "int8": "INT8",
    "uint8": "UINT8",
    "bool": "BOOL",
}


class TfliteWriter:
    """One subgraph in the making; a draft counts operators and keeps no data of constants."""

    def __init__(self, *, draft: bool = False) -> None:
        """Start with the empty buffer that computed tensors point to."""
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self._draft = draft
        self._tensors: list[Any] = []
        self._buffers: list[bytes | None] = [None]
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self._names: set[str] = set()

    @property
    def operators(self) -> tuple[str, ...]:
        """The built-in operators written so far, in order, as in ``CONV_2D``."""
        names = {number: name for name, number in vars(self.schema.BuiltinOperator).items() if not name.startswith("_")}
        codes = list(self._codes)
        return tuple(names[codes[operator.opcodeIndex][0]] for operator in self._operators)

    def add_tensor(self, name: str, shape: Sequence[int], element: DTypeLike = np.float32) -> int:
        """Return the number of a new tensor that an operator or the caller will fill."""
        return self._add(name, shape, np.dtype(element), buffer=0)

    def add_variable(self, name: str, shape: Sequence[int], element: DTypeLike = np.float32) -> int:
        """Return the number of a new tensor that keeps its value between operators and calls: a state."""
        tensor = self._add(name, shape, np.dtype(element), buffer=0)
        self._tensors[tensor].isVariable = True
        return tensor

    def add_constant(self, name: str, array: NDArray[Any]) -> int:
        """Return the number of a tensor of fixed values, of the array's own type; equal ones are stored once.

        What an operator takes as a parameter (axes, shapes, permutations) has to be given as int32. Doubles become
        floats.
        """
        element = np.dtype(np.float32) if array.dtype == np.float64 else array.dtype
        if self._draft:
            return self._add(name, array.shape, element, buffer=0)
        stored = np.ascontiguousarray(array, dtype=element)
        key = (stored.dtype.str, array.shape, stored.tobytes())
        if key not in self._constants:
            self._buffers.append(key[2])
            self._constants[key] = self._add(name, array.shape, element, buffer=len(self._buffers) - 1)
        return self._constants[key]

    def add_operator(
        self, code: str, inputs: Sequence[int], outputs: Sequence[int], *, options: object = None, version: int = 1
    ) -> Any:
        """Append the built-in operator of that name, as in ``CONV_2D``, with its option table; return it.

        An input that is left out is -1.
        """
        number = getattr(self.schema.BuiltinOperator, code)
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault((number, version), len(self._codes))
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptions = options
            table = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, table)
        self._operators.append(operator)
        return operator

    def rename(self, tensor: int, name: str) -> None:
        """Give the tensor that name; another tensor of the name steps aside."""
        for other in self._tensors:
            if other.name == name:
                other.name = self._free_name(f"{name}/inner")
        self._tensors[tensor].name = name
        self._names.add(name)

    def leave_free(self, tensor: int, axis: int) -> None:
        """Say that the tensor's size along that axis is the caller's choice."""
        signature = list(self._tensors[tensor].shape)
        signature[axis] = -1
        self._tensors[tensor].shapeSignature = signature

    def to_bytes(self, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]]) -> bytes:
        """Return the file whose inputs and outputs are the named tensors, in that order."""
        import flatbuffers

        model = self.schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = "edgeship"
        model.operatorCodes = [self._code(number, version) for number, version in self._codes]
        model.buffers = [_buffer(self.schema, data) for data in self._buffers]
        model.subgraphs = [self._subgraph(inputs, outputs)]
        model.signatureDefs = [self._signature(inputs, outputs)]
        builder = flatbuffers.Builder(sum(len(data or b"") for data in self._buffers) + 4096)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _add(self, name: str, shape: Sequence[int], element: np.dtype[Any], *, buffer: int) -> int:
        tensor = self.schema.TensorT()
        tensor.name = self._free_name(name)
        kind = getattr(self.schema.TensorType, _ELEMENTS[element.name])
        tensor.shape, tensor.type, tensor.buffer = [int(size) for size in shape], kind, buffer
        tensor.quantization = self.schema.QuantizationParametersT()
        tensor.hasRank = True
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _free_name(self, name: str) -> str:
        """Return the name, numbered where it is taken: ai-edge-quantizer knows tensors by name."""
        free, number = name, 1
        while free in self._names:
            free, number = f"{name};{number}", number + 1
        self._names.add(free)
        return free

    def _code(self, number: int, version: int) -> object:
        code = self.schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        return code

    def _subgraph(self, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]]) -> object:
        subgraph = self.schema.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors, subgraph.operators = self._tensors, self._operators
        subgraph.inputs = [tensor for _, tensor in inputs]
        subgraph.outputs = [tensor for _, tensor in outputs]
        return subgraph

    def _signature(self, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]]) -> object:
        signature = self.schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [self.schema.TensorMapT(name=name, tensorIndex=tensor) for name, tensor in inputs]
        signature.outputs = [self.schema.TensorMapT(name=name, tensorIndex=tensor) for name, tensor in outputs]
        return signature


def _buffer(schema: Any, data: bytes | None) -> object:
    """Return the buffer table of the bytes, which packs them aligned as the schema asks."""

    class AlignedBuffer:
        def Pack(self, builder: Any) -> int:  # noqa: N802 - the name that the generated code calls
            start = None
            if data is not None:
                builder.StartVector(1, len(data), _ALIGNMENT_BYTES)
                builder.head = builder.Head() - len(data)
                builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
                start = builder.EndVector()
            schema.BufferStart(builder)
            if start is not None:
                schema.BufferAddData(builder, start)
            return int(schema.BufferEnd(builder))

    return AlignedBuffer()
