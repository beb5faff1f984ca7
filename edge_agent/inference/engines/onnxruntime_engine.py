"""ONNX files on ONNX Runtime, CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from contracts.telemetry import forbid_telemetry
from contracts.tensors import ElementType, TensorSpec
from edge_agent.errors import EngineMissing, InferenceFailed, ModelRefused
from edge_agent.inference.engine import fixed_rows, run_in_pieces
from edge_agent.inference.engines.onnx_outside import names_other_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.inference.engine import Tensors

ORT_MARK = b"ORTM"
"""Marks ONNX Runtime's own format, which holds all weights itself."""
ELEMENTS = {
    "tensor(float)": ElementType.FP32,
    "tensor(float16)": ElementType.FP16,
    "tensor(int8)": ElementType.INT8,
    "tensor(uint8)": ElementType.UINT8,
    "tensor(int32)": ElementType.INT32,
    "tensor(int64)": ElementType.INT64,
    "tensor(bool)": ElementType.BOOL,
}


class _Argument(Protocol):
    name: str
    type: str
    shape: Sequence[int | str | None]


class _Session(Protocol):
    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[np.generic]]) -> Sequence[NDArray[np.generic]]: ...

    def get_inputs(self) -> Sequence[_Argument]: ...

    def get_outputs(self) -> Sequence[_Argument]: ...


class OnnxruntimeEngine:
    """An ONNX file in an ONNX Runtime session; threads do not spin between requests."""

    def __init__(self, session: _Session, failures: tuple[type[Exception], ...]) -> None:
        self.inputs = tuple(_spec(argument) for argument in session.get_inputs())
        self.outputs = tuple(_spec(argument) for argument in session.get_outputs())
        self._names = [spec.name for spec in self.outputs]
        self._session: _Session | None = session
        self._failures = failures
        self._rows = fixed_rows(self.inputs)

    @classmethod
    def load(cls, model: bytes, *, threads: int) -> OnnxruntimeEngine:
        """Return the engine that runs the ONNX file.

        Raises:
            EngineMissing: onnxruntime is not installed.
            ModelRefused: it can't read the file, it would read others, or a tensor is of a kind that can't be served.
        """
        if model[4:8] != ORT_MARK and names_other_files(model):
            raise ModelRefused(
                "the model file keeps weights in other files (external data), which no artifact has: export it whole"
            )
        runtime = import_runtime()
        failures = _failures()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except failures as error:
            raise ModelRefused(f"ONNX Runtime can't load the model file: {_first_line(error)}") from error
        try:
            return cls(cast("_Session", session), failures)
        except UnicodeDecodeError as error:
            raise ModelRefused("a tensor's name in the model file is not UTF-8 text; export the model again") from error

    def run(self, inputs: Tensors) -> Tensors:
        """See ``Engine.run``."""
        if self._rows:
            return run_in_pieces(self._run, inputs, rows=self._rows)
        return self._run(inputs)

    def close(self) -> None:
        """See ``Engine.close``."""
        self._session = None

    def _run(self, inputs: Tensors) -> Tensors:
        session = self._session
        if session is None:
            raise InferenceFailed("the engine is closed; its release was replaced")
        try:
            return dict(zip(self._names, session.run(self._names, inputs), strict=True))
        except self._failures as error:
            raise InferenceFailed(f"ONNX Runtime failed: {_first_line(error)}") from error


def import_runtime() -> ModuleType:
    """Return ONNX Runtime.

    Raises:
        EngineMissing: it is not installed.
    """
    try:
        forbid_telemetry()
        import onnxruntime
    except ImportError as error:
        raise EngineMissing("this model needs ONNX Runtime: pip install 'edgeship[onnxruntime]'") from error
    return cast("ModuleType", onnxruntime)


def _failures() -> tuple[type[Exception], ...]:
    """Return what the runtime raises: it has no common root below Exception, so its own classes are listed."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, ValueError, RuntimeError)


def _spec(argument: _Argument) -> TensorSpec:
    if argument.type not in ELEMENTS:
        raise ModelRefused(f"tensor {argument.name!r} is {argument.type}, which can't be served: cast it in the model")
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    try:
        return TensorSpec(name=argument.name, element=ELEMENTS[argument.type], shape=shape)
    except ValueError as error:
        raise ModelRefused(f"{error}; export the model with only its batch free") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
