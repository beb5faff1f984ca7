"""TFLite files on LiteRT (ai-edge-litert), or on tflite-runtime where that is what there is.

An interpreter holds one request at a time, so ``run`` takes turns. A file whose batch is free is laid out anew where
the batch changes; many leave it open in their inputs and state it again within, so that is tried on loading. Others get
their rows in the file's own batch. What a recurrent graph remembers is forgotten before each run.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypedDict

import numpy as np

from contracts.preprocessing import DTYPES
from contracts.tensors import Quantization, TensorSpec
from edge_agent.errors import EngineMissing, InferenceFailed, ModelRefused
from edge_agent.inference.engine import fixed_rows, run_in_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.engine import Tensors

ELEMENTS = {dtype.newbyteorder("="): element for element, dtype in DTYPES.items()}
LITERT = "ai-edge-litert"
TFLITE_RUNTIME = "tflite-runtime"
_OFFSET, _BACK, _SLOT = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<H")
_LEADS_TO_FLOAT = frozenset({"DEQUANTIZE", "DELEGATE"})
"""Operators that may read integers and give floats rightly; a delegate stands for several, which are listed too."""
_MOST_ROWS = 64
"""Rows that go through a file of free batch at a time: its memory grows with them."""
_SUBGRAPHS_SLOT = 8
"""Where the root table's layout says how to find ``Model.subgraphs``, its third field (FlatBuffers)."""


class TensorDetails(TypedDict):
    """What an interpreter says of one tensor."""

    name: str
    index: int
    shape: NDArray[np.int32]
    shape_signature: NDArray[np.int32]
    dtype: type[np.generic]
    quantization: tuple[float, int]


class OperatorDetails(TypedDict):
    """What an interpreter says of one operator; -1 stands for an input left out."""

    op_name: str
    inputs: Sequence[int]
    outputs: Sequence[int]


class Interpreter(Protocol):
    """The part of a TFLite interpreter that is used here."""

    def allocate_tensors(self) -> None:
        """Make room for the tensors."""

    def resize_tensor_input(self, input_index: int, tensor_size: Sequence[int]) -> None:
        """Give an input another shape; the tensors must be allocated again."""

    def reset_all_variables(self) -> None:
        """Forget what the graph keeps between calls."""

    def invoke(self) -> None:
        """Run the graph once."""

    def get_input_details(self) -> Sequence[TensorDetails]:
        """Return the inputs, in the file's order."""
        ...

    def get_output_details(self) -> Sequence[TensorDetails]:
        """Return the outputs, in the file's order."""
        ...

    def get_tensor_details(self) -> Sequence[TensorDetails]:
        """Return every tensor."""
        ...

    def _get_ops_details(self) -> Sequence[OperatorDetails]:
        """Return every operator; private in both runtimes, and the only way to ask."""
        ...

    def set_tensor(self, index: int, values: NDArray[np.generic]) -> None:
        """Copy values in."""

    def get_tensor(self, index: int) -> NDArray[np.generic]:
        """Copy values out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """An installed TFLite runtime: its package name, and how it opens a file with so many threads."""

    name: str
    open: Callable[[bytes, int], Interpreter]


class TfliteEngine:
    """A TFLite file in one interpreter."""

    def __init__(self, interpreter: Interpreter) -> None:
        free = _free_shapes(interpreter)
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        self.inputs = tuple(_spec(details, free) for details in inputs)
        self.outputs = tuple(_spec(details, free) for details in outputs)
        self._laid_out = {details["name"]: tuple(int(size) for size in details["shape"]) for details in inputs}
        self._input_places = tuple((details["name"], details["index"]) for details in inputs)
        self._output_places = tuple((details["name"], details["index"]) for details in outputs)
        self._rows = fixed_rows(self.inputs)
        self._interpreter: Interpreter | None = interpreter
        self._turn = Lock()

    @classmethod
    def load(cls, model: bytes, *, threads: int, runtime: Runtime | None = None) -> TfliteEngine:
        """Return the engine that runs the TFLite file, on the runtime given or else found.

        Raises:
            EngineMissing: neither ai-edge-litert nor tflite-runtime is installed.
            ModelRefused: the file can't be read, or it is one that this runtime answers wrongly.
        """
        runtime = runtime or find_runtime()
        if not has_graph(model):
            raise ModelRefused("the model file holds no graph, so it is damaged; convert it again")
        try:
            interpreter = runtime.open(model, threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelRefused(f"{runtime.name} can't load the model file: {_one_line(error)}") from error
        if runtime.name == TFLITE_RUNTIME and is_dynamic_range(
            interpreter._get_ops_details(),  # noqa: SLF001 - no public way to list operators, in either runtime
            interpreter.get_tensor_details(),
        ):
            raise ModelRefused(
                "this is a dynamic-range file (8-bit weights, float activations), which tflite-runtime loads but "
                "answers wrongly: quantize it fully, or pip install 'edgeship[tflite]' for LiteRT"
            )
        try:
            return cls(interpreter)
        except ValueError as error:
            raise ModelRefused(f"the model file's tensors can't be served: {_one_line(error)}") from error

    def run(self, inputs: Tensors) -> Tensors:
        """See ``Engine.run``."""
        with self._turn:
            return run_in_pieces(self._invoke, inputs, rows=self._rows) if self._rows else self._in_parts(inputs)

    def close(self) -> None:
        """See ``Engine.close``."""
        with self._turn:
            self._interpreter = None

    def _in_parts(self, inputs: Tensors) -> Tensors:
        """Return the outputs of a batch of any size: so many rows at a time that memory is bounded."""
        total = len(next(iter(inputs.values())))
        starts = range(0, total, _MOST_ROWS)
        parts = [self._invoke({name: values[at : at + _MOST_ROWS] for name, values in inputs.items()}) for at in starts]
        return (
            parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )

    def _invoke(self, inputs: Tensors) -> Tensors:
        interpreter = self._interpreter
        if interpreter is None:
            raise InferenceFailed("the engine is closed; its release was replaced")
        try:
            self._lay_out(interpreter, {name: inputs[name].shape for name in self._laid_out})
            interpreter.reset_all_variables()
            for name, index in self._input_places:
                interpreter.set_tensor(index, inputs[name])
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in self._output_places}
        except (ValueError, RuntimeError) as error:
            raise InferenceFailed(f"the TFLite runtime failed: {_one_line(error)}") from error

    def _lay_out(self, interpreter: Interpreter, shapes: dict[str, tuple[int, ...]]) -> None:
        """Make room for inputs of these shapes, unless it is theirs already."""
        if shapes == self._laid_out:
            return
        for name, index in self._input_places:
            interpreter.resize_tensor_input(index, shapes[name])
        interpreter.allocate_tensors()
        self._laid_out = shapes


def find_runtime() -> Runtime:
    """Return LiteRT if it is installed, else tflite-runtime.

    Raises:
        EngineMissing: neither is.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter as Litert
    except ImportError:
        return _older_runtime()
    return Runtime(name=LITERT, open=lambda model, threads: Litert(model_content=model, num_threads=threads))


def has_graph(model: bytes) -> bool:
    """Return whether the file's root table names a graph: LiteRT ends the whole process over one that does not."""
    try:
        (root,) = _OFFSET.unpack_from(model, 0)
        (back,) = _BACK.unpack_from(model, root)
        (length,) = _SLOT.unpack_from(model, root - back)
        (slot,) = _SLOT.unpack_from(model, root - back + _SUBGRAPHS_SLOT)
        (offset,) = _OFFSET.unpack_from(model, root + slot)
        (graphs,) = _OFFSET.unpack_from(model, root + slot + offset)
    except struct.error:
        return True  # the runtime's own check says what is wrong with it
    return bool(length > _SUBGRAPHS_SLOT and slot and graphs)


def is_dynamic_range(operators: Sequence[OperatorDetails], tensors: Sequence[TensorDetails]) -> bool:
    """Return whether some operator computes floats from 8-bit weights, as in a product or a look-up."""
    dtypes = {details["index"]: np.dtype(details["dtype"]) for details in tensors}

    def among(places: Sequence[int], wanted: type[np.generic]) -> bool:
        return any(dtypes.get(place) == np.dtype(wanted) for place in places)

    return any(
        operator["op_name"] not in _LEADS_TO_FLOAT
        and among(operator["inputs"], np.int8)
        and among(operator["outputs"], np.float32)
        for operator in operators
    )


def _free_shapes(interpreter: Interpreter) -> dict[int, tuple[int, ...]]:
    """Return the shapes of inputs and outputs, -1 for the batch, by tensor; nothing where the batch is fixed.

    The interpreter is left as it was. A size that is known only after running is asked for so.
    """
    inputs = interpreter.get_input_details()
    if any(tuple(details["shape_signature"])[:1] != (-1,) for details in inputs):
        return {}
    own = {details["index"]: tuple(int(size) for size in details["shape"]) for details in inputs}
    rows = [int(details["shape"][0]) for details in interpreter.get_output_details() if len(details["shape"])]
    try:
        _resize(interpreter, {index: (2 * shape[0], *shape[1:]) for index, shape in own.items()})
        if any(details["shape"][0] == 1 for details in interpreter.get_output_details() if len(details["shape"])):
            interpreter.invoke()
        after = [(details["index"], tuple(map(int, details["shape"]))) for details in interpreter.get_output_details()]
    except (ValueError, RuntimeError):
        after = []
    _resize(interpreter, own)
    if not after or [2 * size for size in rows] != [shape[0] if shape else 0 for _, shape in after]:
        return {}
    return {index: (-1, *shape[1:]) for index, shape in (*own.items(), *after)}


def _resize(interpreter: Interpreter, shapes: dict[int, tuple[int, ...]]) -> None:
    for index, shape in shapes.items():
        interpreter.resize_tensor_input(index, shape)
    interpreter.allocate_tensors()


def _older_runtime() -> Runtime:
    try:
        from tflite_runtime.interpreter import Interpreter as Older
    except ImportError as error:
        raise EngineMissing("this model needs a TFLite runtime: pip install 'edgeship[tflite]'") from error
    return Runtime(name=TFLITE_RUNTIME, open=lambda model, threads: Older(model_content=model, num_threads=threads))


def _spec(details: TensorDetails, free: dict[int, tuple[int, ...]]) -> TensorSpec:
    dtype = np.dtype(details["dtype"])
    if dtype not in ELEMENTS:
        raise ModelRefused(f"tensor {details['name']!r} is {dtype}, which can't be served: cast it in the model")
    scale, zero_point = details["quantization"]
    return TensorSpec(
        name=details["name"],
        element=ELEMENTS[dtype],
        shape=free.get(details["index"], tuple(int(size) for size in details["shape"])),
        quantization=Quantization(scale=float(scale), zero_point=int(zero_point)) if scale else None,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
