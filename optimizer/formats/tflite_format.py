"""TFLite files: read their tensors and run them with LiteRT (``ai-edge-litert``)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from contracts.tensors import ElementType, Quantization, TensorSpec
from optimizer.errors import LibraryMissing, MeasureFailed, ModelError, first_line
from optimizer.formats.quiet import quiet
from optimizer.model import Format, Model, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ELEMENTS: Final = {
    "float32": ElementType.FP32,
    "float16": ElementType.FP16,
    "int8": ElementType.INT8,
    "uint8": ElementType.UINT8,
    "int32": ElementType.INT32,
    "int64": ElementType.INT64,
    "bool": ElementType.BOOL,
}
_IDENTIFIER: Final = b"TFL3"
_SHORTEST_BYTES: Final = 64


def load(content: bytes, name: str) -> ModelSpec:
    """Return what a TFLite file's bytes say of its tensors; the batch is the file's own, or free (-1).

    It is free where the signature of the inputs says so and the graph can be laid out for another batch: many
    converters leave it open in the inputs and state it again within.

    Raises:
        ModelError: no TFLite file, cut short, a custom operator, or tensors that are not served.
        LibraryMissing: ai-edge-litert is not installed.
    """
    if len(content) < _SHORTEST_BYTES or content[4:8] != _IDENTIFIER:
        raise ModelError(f"{name} is no TFLite file (no {_IDENTIFIER.decode()} at byte 4); give a .tflite file")
    damage = _damage(content)
    if damage:
        raise ModelError(f"{name} {damage}, so it is damaged or cut short; convert it again")
    try:
        return _read(content, name)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{name}: {_reason(str(error))}") from error


def session(model: Model, threads: int) -> TfliteSession:
    """Return an interpreter of the model with that many threads.

    Raises:
        LibraryMissing: ai-edge-litert is not installed.
        MeasureFailed: LiteRT refuses the file.
    """
    return TfliteSession(model.content, name=model.name, threads=threads)


class TfliteSession:
    """One LiteRT interpreter with its default kernels; takes and gives the file's own tensors."""

    def __init__(self, content: bytes, *, name: str, threads: int) -> None:
        try:
            self._interpreter = _allocated(content, threads=threads, delegates=True)
        except (ValueError, RuntimeError) as error:
            raise MeasureFailed(f"{name}: LiteRT refuses the file ({first_line(error)})") from error
        self._name = name
        details = self._interpreter.get_input_details()
        self._inputs = {item["name"]: item["index"] for item in details}
        self._shapes = {item["name"]: tuple(item["shape"]) for item in details}
        self._outputs = {item["name"]: item["index"] for item in self._interpreter.get_output_details()}

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """Return every output for the inputs, copied out of the interpreter.

        A free batch may differ from call to call. What a recurrent graph remembers is forgotten before each call.
        """
        try:
            self._fit({name: inputs[name].shape for name in self._inputs})
            self._interpreter.reset_all_variables()
            for name, index in self._inputs.items():
                self._interpreter.set_tensor(index, inputs[name])
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise MeasureFailed(f"{self._name}: LiteRT cannot run the model ({first_line(error)})") from error
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def _fit(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Make room for inputs of these shapes."""
        if self._shapes == shapes:
            return
        for name, shape in shapes.items():
            self._interpreter.resize_tensor_input(self._inputs[name], shape, strict=True)
        self._interpreter.allocate_tensors()
        self._shapes = dict(shapes)


def float_tensors(content: bytes) -> tuple[str, ...]:
    """Return the names of the tensors that hold floating-point numbers: none in a full-int8 file."""
    interpreter = _allocated(content, threads=1, delegates=False)
    return tuple(item["name"] for item in interpreter.get_tensor_details() if np.issubdtype(item["dtype"], np.floating))


def operators(content: bytes) -> frozenset[str]:
    """Return the built-in operators that the file uses, as in ``CONV_2D``."""
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = schema.Model.GetRootAsModel(content, 0)
    codes = (model.OperatorCodes(place) for place in range(model.OperatorCodesLength()))
    return frozenset(names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "unknown") for code in codes)


def _damage(content: bytes) -> str:
    """Return what is wrong with a file over which LiteRT would end the whole process; empty where that is nothing."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise LibraryMissing("ai-edge-litert", "a TFLite model") from error
    try:
        model = schema.Model.GetRootAsModel(content, 0)
        graphs = [model.Subgraphs(place) for place in range(model.SubgraphsLength())]
        if not graphs:
            return "holds no graph"
        return "has an operator that reads what a later one gives" if any(map(_reads_ahead, graphs)) else ""
    except (struct.error, IndexError, TypeError, ValueError):
        return ""  # LiteRT's own check says what is wrong with it


def _reads_ahead(graph: Any) -> bool:
    """Return whether an operator reads its own result or a later one's; what keeps a state may."""
    operations = [graph.Operators(place) for place in range(graph.OperatorsLength())]
    makers: dict[int, int] = {}
    for place, operation in enumerate(operations):
        for number in range(operation.OutputsLength()):
            makers.setdefault(operation.Outputs(number), place)
    return any(
        makers.get(tensor, -1) >= place and not graph.Tensors(tensor).IsVariable()
        for place, operation in enumerate(operations)
        for tensor in map(operation.Inputs, range(operation.InputsLength()))
    )


def _read(content: bytes, name: str) -> ModelSpec:
    interpreter = _allocated(content, threads=1, delegates=False)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if not inputs or not outputs:
        raise ModelError(f"{name}: a model needs an input and an output; it has {len(inputs)} and {len(outputs)}")
    quantized = any(_is_quantized(details) for details in interpreter.get_tensor_details())
    free = _free_shapes(interpreter)
    return ModelSpec(
        format=Format.TFLITE,
        name=name,
        inputs=tuple(_tensor(details, name, free) for details in inputs),
        outputs=tuple(_tensor(details, name, free) for details in outputs),
        operators=operators(content),
        quantized=quantized,
    )


def _allocated(content: bytes, *, threads: int, delegates: bool) -> Any:
    """Return an interpreter that is ready to run; without delegates its tensor list is the file's own."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise LibraryMissing("ai-edge-litert", "a TFLite model") from error
    resolver = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with quiet():
        interpreter = Interpreter(model_content=content, num_threads=threads, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
    return interpreter


def _free_shapes(interpreter: Any) -> dict[int, tuple[int, ...]]:
    """Return the shapes of inputs and outputs, -1 for the batch, by tensor; nothing where the batch is fixed.

    It is free where twice the batch gives twice the rows. A size that is known only after running is asked for so.
    """
    inputs = interpreter.get_input_details()
    if any(tuple(item["shape_signature"])[:1] != (-1,) for item in inputs):
        return {}
    rows = [int(item["shape"][0]) for item in interpreter.get_output_details() if len(item["shape"])]
    try:
        for item in inputs:
            interpreter.resize_tensor_input(item["index"], (2 * item["shape"][0], *item["shape"][1:]), strict=True)
        interpreter.allocate_tensors()
        if any(item["shape"][0] == 1 for item in interpreter.get_output_details() if len(item["shape"])):
            interpreter.invoke()
    except (ValueError, RuntimeError):
        return {}
    outputs = [(item["index"], tuple(int(size) for size in item["shape"])) for item in interpreter.get_output_details()]
    if [2 * size for size in rows] != [shape[0] for _, shape in outputs if shape] or len(rows) < len(outputs):
        return {}
    shapes = [(item["index"], tuple(int(size) for size in item["shape"])) for item in inputs] + outputs
    return {index: (-1, *shape[1:]) for index, shape in shapes}


def _tensor(details: Mapping[str, Any], name: str, free: Mapping[int, tuple[int, ...]]) -> TensorSpec:
    element = _ELEMENTS.get(np.dtype(details["dtype"]).name)
    if element is None:
        raise ModelError(
            f"{name}: tensor {details['name']!r} is {np.dtype(details['dtype']).name}, which is not served"
        )
    scales = details["quantization_parameters"]["scales"]
    points = details["quantization_parameters"]["zero_points"]
    if len(scales) > 1:
        raise ModelError(
            f"{name}: tensor {details['name']!r} is quantized along an axis; inputs and outputs need one scale"
        )
    quantization = Quantization(scale=float(scales[0]), zero_point=int(points[0])) if len(scales) else None
    shape = free.get(details["index"], tuple(int(size) for size in details["shape"]))
    return TensorSpec(name=details["name"], element=element, shape=shape, quantization=quantization)


def _is_quantized(details: Mapping[str, Any]) -> bool:
    return bool(len(details["quantization_parameters"]["scales"])) and np.issubdtype(details["dtype"], np.integer)


def _reason(text: str) -> str:
    """Return what LiteRT's complaint means for whoever gave the file."""
    custom = text.partition("unresolved custom op: ")[2].split()
    if custom and custom[0].startswith("edgetpu"):
        return "it is compiled for the Edge TPU; give the .tflite file that went into edgetpu_compiler"
    if custom:
        return f"LiteRT has no custom operator {custom[0].rstrip('.')}; convert the model without custom operators"
    complaint = (text.strip().splitlines() or ["damaged"])[0].partition("Tensor ")[0][:160]
    return f"LiteRT cannot read it ({complaint.rstrip('. ')}); it is damaged or of another age: convert it again"
