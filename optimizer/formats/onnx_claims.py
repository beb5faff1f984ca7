"""What an ONNX file claims, checked before native code believes it.

Versions that this library does not know, operators that do not exist, tensors that claim more than they hold,
inputs that no machine can fill: each is one line here, where the runtimes crash, allocate or say it badly.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Container, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import TensorSpec
from optimizer.errors import ModelError
from optimizer.formats.onnx_graphs import entries, operations, tensors

_LARGEST_ROW: Final = 2**30
_STANDARD: Final = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training")
_RUNTIMES_OWN: Final = ("com.microsoft", "com.ms.")
_EXTERNAL: Final = 1
_WEIGHED: Final = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "BatchNormalization", "LayerNormalization"}
    | {"InstanceNormalization", "GroupNormalization", "PRelu"}
)
"""Operators whose constants are weights: an infinite value means damage there, and a mask elsewhere."""


def check_claims(proto: Any, name: str, *, apart: Container[str] = ()) -> None:
    """Refuse what the rest of the way would choke on.

    Args:
        proto: the model.
        name: its name, for the message.
        apart: weights of the main graph whose values are not in it; ``skeleton`` has seen that they are all there.

    Raises:
        ModelError: with the first claim that does not hold.
    """
    found = next(_faults(proto, apart), None)
    if found is not None:
        raise ModelError(f"{name}: {found}")


def check_row(spec: TensorSpec, name: str) -> None:
    """Refuse a tensor of which one row has more than 2^30 elements.

    Raises:
        ModelError: it has.
    """
    if math.prod(abs(size) for size in spec.shape) > _LARGEST_ROW:
        raise ModelError(
            f"{name}: tensor {spec.name!r} claims shape {spec.shape}, more than any edge device can hold; "
            "the file is damaged, or its sizes are wrong: export it again"
        )


def weights_not_finite(proto: Any, *, apart: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Return the names of constants that hold a NaN, and of weights that hold an infinite value.

    The values of those ``apart`` are not in the model.
    """
    weighed = {value for entry in operations(proto) if entry.op_type in _WEIGHED for value in entry.input}
    found = []
    for tensor in proto.graph.initializer:
        values = apart[tensor.name] if tensor.name in apart else _floats(tensor)
        odd = np.isnan(values).any() or (tensor.name in weighed and not np.isfinite(values).all())
        if odd:
            found.append(str(tensor.name))
    return tuple(found)


def _faults(proto: Any, apart: Container[str]) -> Iterator[str]:
    words = [word for entry in operations(proto) for word in (entry.op_type, entry.domain)]
    if not all(isinstance(word, str) for word in words):  # protobuf hands over what is no text as bytes
        yield "a name in it is not UTF-8 text, so it is damaged; export it again"
    yield from _version_faults(proto)
    if not entries(proto.graph):
        yield "its graph holds no operation; export the model again"
    yield from _operator_faults(proto)
    for tensor in tensors(proto):
        if tensor.name not in apart or _holds_values(tensor):
            yield from _tensor_faults(tensor)


def _version_faults(proto: Any) -> Iterator[str]:
    onnx = importlib.import_module("onnx")
    if proto.ir_version > onnx.IR_VERSION:
        yield (
            f"it is written in ONNX IR {proto.ir_version}, and onnx {onnx.__version__} here reads up to "
            f"{onnx.IR_VERSION}; save it with an older IR, or install a newer onnx"
        )
    newest = onnx.defs.onnx_opset_version()
    for used in proto.opset_import:
        if used.domain in ("", "ai.onnx") and not 0 < used.version <= newest:
            yield (
                f"it uses ONNX operator set {used.version}, and onnx {onnx.__version__} here knows up to {newest}; "
                "export it with opset 18, or install a newer onnx"
            )


def _operator_faults(proto: Any) -> Iterator[str]:
    has = importlib.import_module("onnx").defs.has
    own = {(function.domain, function.name) for function in proto.functions}
    asked = {(entry.domain, entry.op_type): entry for entry in operations(proto)}
    for (domain, operator), entry in asked.items():
        if (domain, operator) in own or domain.startswith(_RUNTIMES_OWN):
            continue
        if domain not in _STANDARD or not has(operator, "" if domain == "ai.onnx" else domain):
            of = f" of domain {domain[:60]!r}" if domain not in ("", "ai.onnx") else ""
            at = f" (it gives {str(entry.output[0])[:60]!r})" if entry.output else ""
            yield (
                f"operator {operator[:60]!r}{of}{at} is known neither to ONNX nor to ONNX Runtime; "
                "export the model with standard operators, or with this one as a model function"
            )


def _tensor_faults(tensor: Any) -> Iterator[str]:
    who = f"constant {str(tensor.name)[:60]!r}" if tensor.name else "a constant"
    shape = tuple(tensor.dims)
    if tensor.data_location == _EXTERNAL:
        yield f"{who} lies in another file; give the path of the model, or save it with external_data=False"
    elif any(size < 0 for size in shape):
        yield f"{who} claims the shape {shape[:8]}; the file is damaged: export it again"
    elif math.prod(shape) > _room(tensor):
        yield (
            f"{who} claims {math.prod(shape):,} values of shape {shape[:8]} and holds far fewer; the file is damaged, "
            "cut short or its weights are missing: export it again"
        )


def _holds_values(tensor: Any) -> bool:
    """Return whether the values are with the tensor: one of an inner graph may share the name of one that is apart."""
    return bool(_room(tensor))


def _room(tensor: Any) -> int:
    """Return how many values the stored bytes and numbers can hold at most: types below a byte pack several."""
    listed = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    packed = {"UINT4", "INT4", "FLOAT4E2M1", "UINT2", "INT2"}
    kinds = importlib.import_module("onnx").TensorProto.DataType
    kind = kinds.Name(tensor.data_type) if tensor.data_type in kinds.values() else ""
    width = 8 if kind in packed else 1
    return width * (sum(map(len, listed)) + len(tensor.string_data)) + _raw_room(tensor, kind, width)


def _raw_room(tensor: Any, kind: str, width: int) -> int:
    bytes_each = {"FLOAT": 4, "DOUBLE": 8, "INT64": 8, "UINT64": 8, "INT32": 4, "UINT32": 4, "FLOAT16": 2}
    return int(len(tensor.raw_data) * width // bytes_each.get(kind, 1))


def _floats(tensor: Any) -> NDArray[Any]:
    """Return the values of a float constant; none for other types."""
    spelt = {1: "<f4", 10: "<f2", 11: "<f8"}.get(tensor.data_type)
    if spelt is None:
        return np.zeros(0, dtype=np.float32)
    dtype: np.dtype[Any] = np.dtype(spelt)
    raw = tensor.raw_data  # each look at it is a copy
    if raw:
        return np.frombuffer(raw, dtype=dtype, count=len(raw) // dtype.itemsize)
    if dtype.itemsize == 2:
        return np.asarray(tensor.int32_data, dtype=np.int32).astype(np.uint16).view(np.float16)
    return np.asarray(tensor.float_data if dtype.itemsize == 4 else tensor.double_data, dtype=dtype)
