"""Building a TFLite file: tensors, constants, operators, one signature; equal calls give equal bytes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.file import write_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import DTypeLike, NDArray

SIGNATURE = "serving_default"
_SCHEMA_VERSION = 3
_SMALL = 64
"""Elements up to which a draft knows a constant's values: axes, shapes, permutations."""

_ELEMENTS = {
    "float32": "FLOAT32",
    "float64": "FLOAT32",
    "float16": "FLOAT16",
    "int32": "INT32",
    "int64": "INT64",
    "int16": "INT16",
    "int8": "INT8",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "bool": "BOOL",
}


class TfliteWriter:
    """One subgraph in the making; a draft counts operators and keeps no data of large constants.

    ``written`` are the operators so far, ``constants`` the tensors of fixed values. ``batches`` says for the tensors of
    which it is known along which axis they grow with the batch (None: they do not).
    """

    def __init__(self, *, draft: bool = False) -> None:
        """Start with the empty buffer that computed tensors point to."""
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.written: list[Any] = []
        self.constants: set[int] = set()
        self.batches: dict[int, int | None] = {}
        self._draft = draft
        self._tensors: list[Any] = []
        self._buffers: list[memoryview | None] = [None]
        self._codes: dict[tuple[str, int], int] = {}
        self._code_names: list[str] = []
        self._stored: dict[tuple[str, tuple[int, ...], bytes], list[tuple[int, NDArray[Any]]]] = {}
        self._known: dict[int, NDArray[Any]] = {}
        self._kinds: dict[np.dtype[Any], int] = {}
        self._variables: set[int] = set()
        self._names: set[str] = set()

    @property
    def operators(self) -> tuple[str, ...]:
        """The built-in operators written so far, in order, as in ``CONV_2D``."""
        return tuple(self.code(operator) for operator in self.written)

    def code(self, operator: Any) -> str:
        """Return the name of an operator's kind, as in ``CONV_2D``."""
        return self._code_names[int(operator.opcodeIndex)]

    def known(self, tensor: int) -> NDArray[Any] | None:
        """Return the values of a small constant, None for any other tensor."""
        return self._known.get(tensor)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the tensor's shape at a batch of 1."""
        return tuple(self._tensors[tensor].shape)

    def kind(self, tensor: int) -> int:
        """Return the schema's number of the tensor's element type."""
        return int(self._tensors[tensor].type)

    def is_variable(self, tensor: int) -> bool:
        """Return whether the tensor is a state."""
        return tensor in self._variables

    def add_tensor(self, name: str, shape: Sequence[int], element: DTypeLike = np.float32) -> int:
        """Return the number of a new tensor that an operator or the caller will fill."""
        return self._add(name, shape, np.dtype(element), buffer=0)

    def add_variable(self, name: str, shape: Sequence[int], element: DTypeLike = np.float32) -> int:
        """Return the number of a new tensor that keeps its value between operators and calls: a state."""
        tensor = self._add(name, shape, np.dtype(element), buffer=0)
        self._tensors[tensor].isVariable = True
        self._variables.add(tensor)
        return tensor

    def add_constant(self, name: str, array: NDArray[Any]) -> int:
        """Return the number of a tensor of fixed values, of the array's own type; equal ones are stored once.

        What an operator takes as a parameter (axes, shapes, permutations) has to be given as int32. Doubles become
        floats.
        """
        element = np.dtype(np.float32) if array.dtype == np.float64 else array.dtype
        if self._draft and array.size > _SMALL:
            return self._as_constant(self._add(name, array.shape, element, buffer=0))
        stored = np.ascontiguousarray(array, dtype=element)
        key = (stored.dtype.str, array.shape, stored.reshape(-1)[:: max(1, -(-stored.size // _SMALL))].tobytes())
        alike = self._stored.setdefault(key, [])
        for tensor, other in alike:
            if array.size <= _SMALL or stored.tobytes() == other.tobytes():
                return tensor
        self._buffers.append(stored.reshape(-1).view(np.uint8).data)
        tensor = self._as_constant(self._add(name, array.shape, element, buffer=len(self._buffers) - 1))
        alike.append((tensor, stored))
        if array.size <= _SMALL:
            self._known[tensor] = stored.reshape(array.shape)
        return tensor

    def add_operator(
        self, code: str, inputs: Sequence[int], outputs: Sequence[int], *, options: object = None, version: int = 1
    ) -> Any:
        """Append the built-in operator of that name, as in ``CONV_2D``, with its option table; return it.

        An input that is left out is -1.
        """
        operator = self.make_operator(code, inputs, outputs, options=options, version=version)
        self.written.append(operator)
        return operator

    def make_operator(
        self, code: str, inputs: Sequence[int], outputs: Sequence[int], *, options: object = None, version: int = 1
    ) -> Any:
        """Return an operator that is not in the list."""
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault((code, version), len(self._codes))
        if operator.opcodeIndex == len(self._code_names):
            self._code_names.append(code)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptions = options
            table = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, table)
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
        """Return the file whose inputs and outputs are the named tensors, in that order; it holds what is used."""
        public = [tensor for _, tensor in (*inputs, *outputs)]
        read = {tensor for one in self.written for tensor in _tensors_of(one)}
        used = {old: new for new, old in enumerate(sorted({*public, *read}))}
        model = self.schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = "edgeship"
        codes = {old: new for new, old in enumerate(sorted({one.opcodeIndex for one in self.written}))}
        model.operatorCodes = [self._code(*tuple(self._codes)[place]) for place in codes]
        tensors, buffers = self._compact(used)
        model.buffers = [self._buffer(data) for data in buffers]
        subgraph = self.schema.SubGraphT()
        subgraph.name, subgraph.tensors = "main", tensors
        subgraph.operators = [_renumbered(one, used=used, codes=codes) for one in self.written]
        subgraph.inputs = [used[tensor] for _, tensor in inputs]
        subgraph.outputs = [used[tensor] for _, tensor in outputs]
        model.subgraphs = [subgraph]
        places = [[(name, used[tensor]) for name, tensor in side] for side in (inputs, outputs)]
        model.signatureDefs = [self._signature(*places)]
        return write_file(model)

    def _as_constant(self, tensor: int) -> int:
        self.constants.add(tensor)
        return tensor

    def _compact(self, used: Iterable[int]) -> tuple[list[Any], list[memoryview | None]]:
        """Return the used tensors, pointing into the list of used buffers."""
        tensors, buffers = [], [self._buffers[0]]
        for number in used:
            tensor = copy.copy(self._tensors[number])
            tensor.quantization = self.schema.QuantizationParametersT()
            if tensor.buffer:
                buffers.append(self._buffers[tensor.buffer])
                tensor.buffer = len(buffers) - 1
            tensors.append(tensor)
        return tensors, buffers

    def _add(self, name: str, shape: Sequence[int], element: np.dtype[Any], *, buffer: int) -> int:
        tensor = self.schema.TensorT()
        tensor.name = self._free_name(name)
        if element not in self._kinds:
            self._kinds[element] = getattr(self.schema.TensorType, _ELEMENTS[element.name])
        tensor.shape, tensor.type, tensor.buffer = [int(size) for size in shape], self._kinds[element], buffer
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

    def _buffer(self, data: memoryview | None) -> Any:
        buffer = self.schema.BufferT()
        buffer.data = data
        return buffer

    def _code(self, code: str, version: int) -> object:
        number = getattr(self.schema.BuiltinOperator, code)
        table = self.schema.OperatorCodeT()
        table.builtinCode, table.deprecatedBuiltinCode, table.version = number, min(number, 127), version
        return table

    def _signature(self, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]]) -> object:
        signature = self.schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [self.schema.TensorMapT(name=name, tensorIndex=tensor) for name, tensor in inputs]
        signature.outputs = [self.schema.TensorMapT(name=name, tensorIndex=tensor) for name, tensor in outputs]
        return signature


def _tensors_of(operator: Any) -> list[int]:
    """Return the numbers of all tensors that the operator touches."""
    numbers = [*operator.inputs, *operator.outputs, *(_list(operator.intermediates))]
    return [int(number) for number in numbers if number >= 0]


def _renumbered(operator: Any, *, used: dict[int, int], codes: dict[int, int]) -> Any:
    renumbered = copy.copy(operator)
    renumbered.opcodeIndex = codes[operator.opcodeIndex]
    renumbered.inputs = [used.get(tensor, -1) for tensor in operator.inputs]
    renumbered.outputs = [used[tensor] for tensor in operator.outputs]
    if len(_list(operator.intermediates)):
        renumbered.intermediates = [used[tensor] for tensor in operator.intermediates]
    return renumbered


def _list(numbers: Any) -> Sequence[int]:
    return () if numbers is None else numbers
