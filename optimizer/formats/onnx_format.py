"""ONNX files: read their tensors with ``onnx``, run them with ``onnxruntime``."""

from __future__ import annotations

import contextlib
import importlib
import re
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from contracts.preprocessing import DTYPES
from contracts.telemetry import forbid_telemetry
from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import LibraryMissing, MeasureFailed, ModelError, first_line
from optimizer.formats.onnx_claims import check_claims, check_row, weights_not_finite
from optimizer.formats.onnx_graphs import operations, skeleton
from optimizer.model import Format, Model, ModelSpec

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

LIMIT_S: Final = 120.0
"""Of a run of one row."""
_SHARE_OF_A_ROW: Final = 1 / 24
"""What each further row adds to the limit."""
_LOOKS: Final = 60
"""How often the watch looks within the limit of one row."""
# onnx.TensorProto.DataType, spelt out so that this module imports without onnx
ELEMENTS: Final[dict[int, ElementType]] = {
    1: ElementType.FP32,
    2: ElementType.UINT8,
    3: ElementType.INT8,
    6: ElementType.INT32,
    7: ElementType.INT64,
    9: ElementType.BOOL,
    10: ElementType.FP16,
}
_NONE: Final[Mapping[str, NDArray[np.float32]]] = MappingProxyType({})
_QUANTIZED: Final = re.compile(
    r"QuantizeLinear|DequantizeLinear|DynamicQuantize\w+|ConvInteger|MatMulInteger\w*|QLinear\w+|QGemm|QAttention"
    r"|QEmbedLayerNormalization|MatMulNBits|GatherBlockQuantized|MatMulBnb4"
)


def load(content: bytes, name: str) -> ModelSpec:
    """Return what an ONNX file's bytes say of its tensors.

    Raises:
        ModelError: not ONNX, cut short, invalid, weights outside of the file, or tensors that we do not serve.
        LibraryMissing: onnx is not installed.
    """
    proto, weights = _decoded(content, name)
    _check(proto, content, name, weights=weights)
    try:
        return _read(proto, content, name, weights=weights)
    except UnicodeDecodeError as error:
        raise ModelError(_not_text(name)) from error


@contextlib.contextmanager
def _emptied(proto: Any, weights: Mapping[str, NDArray[np.float32]]) -> Iterator[None]:
    """Let the proto's weights that are apart claim no values, as they hold none there, for as long as this lasts."""
    tensors = [tensor for tensor in proto.graph.initializer if tensor.name in weights]
    for tensor in tensors:
        tensor.dims[:] = [0]
    try:
        yield
    finally:
        for tensor in tensors:
            tensor.dims[:] = weights[tensor.name].shape


def _decoded(content: bytes, name: str) -> tuple[Any, Mapping[str, NDArray[np.float32]]]:
    """Return the proto, and by name the large weights that are not in it but views into the content."""
    _library("onnx")
    try:
        light = skeleton(content)
    except importlib.import_module("google.protobuf.message").DecodeError:
        light = None  # onnx says what is wrong with it
    return (decode(content, name), {}) if light is None else (light.proto, light.weights)


def decode(content: bytes, name: str) -> Any:
    """Return the ``onnx.ModelProto`` of the bytes, unchecked.

    Raises:
        ModelError: not ONNX, or cut short.
        LibraryMissing: onnx is not installed.
    """
    onnx = _library("onnx")
    message = importlib.import_module("google.protobuf.message")
    try:
        return onnx.load_model_from_string(content)
    except (message.DecodeError, ValueError) as error:
        raise ModelError(
            f"{name}: not an ONNX model, cut short, or nested deeper than protobuf reads ({first_line(error)}); "
            "export it again"
        ) from error


def parse(content: bytes, name: str) -> Any:
    """Return the checked ``onnx.ModelProto`` of the bytes.

    Raises:
        ModelError: not ONNX, cut short, invalid, or it claims what it does not hold.
    """
    proto = decode(content, name)
    _check(proto, content, name)
    return proto


def _check(proto: Any, content: bytes, name: str, *, weights: Mapping[str, NDArray[np.float32]] = _NONE) -> None:
    onnx = _library("onnx")
    try:
        check_claims(proto, name, apart=weights)
        with _emptied(proto, weights):
            onnx.checker.check_model(proto if weights else content)  # a whole proto it would write anew
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{name}: not a valid ONNX model ({first_line(error)}); export it again") from error
    except UnicodeDecodeError as error:
        raise ModelError(_not_text(name)) from error


def session(model: Model, threads: int) -> OnnxSession:
    """Return a session of the model on the CPU with that many threads.

    Raises:
        LibraryMissing: onnxruntime is not installed.
        MeasureFailed: ONNX Runtime refuses the model.
    """
    return OnnxSession(model.content, name=model.name, threads=threads)


class OnnxSession:
    """One ONNX Runtime session on the CPU; takes and gives the file's own tensors."""

    def __init__(self, content: bytes, *, name: str, threads: int, limit_s: float = LIMIT_S) -> None:
        ort = _library("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as the agent serves it
        try:
            self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except runtime_errors() as error:
            raise MeasureFailed(f"{name}: ONNX Runtime refuses the model ({_reason(error)})") from error
        self._name = name
        self._outputs = [item.name for item in self._session.get_outputs()]
        self._watch = RunWatch(ort.RunOptions(), limit_s=limit_s)

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """Return every output for the inputs.

        Raises:
            MeasureFailed: the runtime refuses the inputs, has no memory for the run, or does not come to an end.
        """
        options = self._watch.begin(inputs)
        try:
            results = self._session.run(self._outputs, dict(inputs), options)
        except runtime_errors() as error:
            if self._watch.ended_it:
                raise MeasureFailed(
                    f"{self._name}: a run was given up after {self._watch.limit_s:.0f} s; a loop in the model may have "
                    "no end on these rows"
                ) from error
            raise MeasureFailed(f"{self._name}: ONNX Runtime cannot run the model ({_reason(error)})") from error
        finally:
            self._watch.end()
        return dict(zip(self._outputs, results, strict=True))


class RunWatch:
    """Ends runs of one session that have no end: how often a loop turns may depend on the rows.

    ONNX Runtime looks at its run options between two operations, inside loops too, so another thread can end a run. A
    run costs about a microsecond more.
    """

    def __init__(self, options: Any, *, limit_s: float) -> None:
        """Watch runs that are given these ``onnxruntime.RunOptions``."""
        self.ended_it = False
        """Whether the last run was ended by the watch."""
        self.limit_s = limit_s
        """How long the last run might take."""
        self._options = options
        self._row_limit_s = limit_s
        self._end_s: float | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._done.set)

    def begin(self, inputs: Mapping[str, NDArray[np.generic]]) -> Any:
        """Return the options for a run of these rows that begins now."""
        rows = max(len(values) if values.ndim else 1 for values in inputs.values()) if inputs else 1
        if self.ended_it:
            self.ended_it = self._options.terminate = False
        if self._thread is None:
            arguments = (weakref.ref(self), self._done, self._row_limit_s / _LOOKS)
            self._thread = threading.Thread(target=_watch, args=arguments, daemon=True)
            self._thread.start()
        self.limit_s = self._row_limit_s * (1 + _SHARE_OF_A_ROW * (rows - 1))
        self._end_s = time.monotonic() + self.limit_s
        return self._options

    def end(self) -> None:
        """The run has ended."""
        self._end_s = None

    def look(self) -> None:
        """End the run if it is over its limit."""
        end_s = self._end_s
        if end_s is not None and time.monotonic() > end_s:
            self.ended_it = self._options.terminate = True


def _watch(watched: weakref.ref[RunWatch], done: threading.Event, pause_s: float) -> None:
    while not done.wait(pause_s):
        watch = watched()
        if watch is not None:
            watch.look()
        del watch


def _read(proto: Any, content: bytes, name: str, *, weights: Mapping[str, NDArray[np.float32]]) -> ModelSpec:
    constants = {item.name for item in proto.graph.initializer}
    inputs = tuple(_tensor(item, name) for item in proto.graph.input if item.name not in constants)
    observed = observed_shapes(content, inputs, name) if any(map(_is_vague, proto.graph.output)) else {}
    outputs = tuple(_tensor(item, name, observed.get(item.name)) for item in proto.graph.output)
    if not inputs or not outputs:
        raise ModelError(f"{name}: an ONNX model needs an input and an output; it has {len(inputs)} and {len(outputs)}")
    operators = frozenset(entry.op_type for entry in operations(proto))
    return ModelSpec(
        format=Format.ONNX,
        name=name,
        inputs=inputs,
        outputs=outputs,
        operators=operators,
        quantized=are_quantized(operators),
        not_finite=weights_not_finite(proto, apart=weights),
    )


def _tensor(item: Any, name: str, observed: tuple[int, ...] | None = None) -> TensorSpec:
    if not isinstance(item.name, str):  # protobuf hands over what is no text as bytes
        raise ModelError(_not_text(name))
    element = ELEMENTS.get(item.type.tensor_type.elem_type)
    if element is None:
        raise ModelError(f"{name}: tensor {item.name!r} has an element type that is not served; cast it to float32")
    sizes = _sizes(item) if observed is None else observed
    if sizes is None:
        raise ModelError(f"{name}: tensor {item.name!r} has no shape; run onnx.shape_inference on the model")
    if -1 in sizes[1:]:
        place = sizes.index(-1, 1)
        raise ModelError(
            f"{name}: tensor {item.name!r} has no fixed size at place {place} of {sizes}; only the first (the batch) "
            f"may vary: fix it, as in --shape {_fixed_example(item.name, sizes)}"
        )
    if 0 in sizes or not item.name:
        raise ModelError(
            f"{name}: tensor {item.name!r} has shape {sizes} on zeros: its size depends on the data; "
            "cut the model before the operation that gives it (as non-maximum suppression)"
        )
    spec = TensorSpec(name=item.name, element=element, shape=sizes)
    check_row(spec, name)
    return spec


def _fixed_example(tensor: str, sizes: tuple[int, ...]) -> str:
    """Return how to fix the free sizes, with the usual 320 or 128 in their place.

    >>> _fixed_example("image", (-1, 3, -1, -1))
    'image=1,3,320,320'
    """
    usual = 320 if len(sizes) == 4 else 128
    return f"{tensor}={','.join(str(size if size > 0 else usual if place else 1) for place, size in enumerate(sizes))}"


def _sizes(item: Any) -> tuple[int, ...] | None:
    """Return the declared shape, -1 where a size is free; None where there is no shape at all."""
    kind = item.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else -1 for dim in kind.shape.dim)


def _is_vague(output: Any) -> bool:
    """Whether an output's shape leaves more open than the batch, as exporters of shape arithmetic write it."""
    sizes = _sizes(output)
    return sizes is None or -1 in sizes[1:]


def observed_shapes(content: bytes, inputs: tuple[TensorSpec, ...], name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the outputs on zeros; the first size is -1 where it follows a free batch."""
    batch = 2  # one would hide which sizes follow the batch
    rows = {
        spec.name: np.zeros(tuple(batch if size == -1 else size for size in spec.shape), dtype=DTYPES[spec.element])
        for spec in inputs
    }
    is_free = any(spec.shape[:1] == (-1,) for spec in inputs)
    try:
        answers = OnnxSession(content, name=name, threads=1).run(rows)
    except MeasureFailed as error:
        raise ModelError(f"{name}: its outputs have no fixed shape, and it does not run ({error})") from error
    return {
        output: (-1, *values.shape[1:]) if is_free and values.shape[:1] == (batch,) else tuple(values.shape)
        for output, values in answers.items()
    }


def _library(name: str) -> ModuleType:
    forbid_telemetry()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise LibraryMissing(name, "an ONNX model") from error


def are_quantized(operators: frozenset[str]) -> bool:
    """Return whether some of the operators compute in integers, or turn numbers into such."""
    return any(map(_QUANTIZED.fullmatch, operators))


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: it has no common root below Exception."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    return (*(getattr(state, name) for name in names), ValueError)


def _not_text(name: str) -> str:
    return f"{name}: a name in it is not UTF-8 text, so it is damaged; export it again"


def _reason(error: Exception) -> str:
    """Return what ONNX Runtime complains of, without its codes and places in its own source."""
    told = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+:\d+ [^\n]*?\) ", "", str(error).strip())
    told = re.sub(
        r"Non-zero status code returned while running (\w+) node\. Name:'(.*?)' Status Message: ", r"\1: ", told
    )
    return (told.strip().splitlines() or [type(error).__name__])[0][:200]
