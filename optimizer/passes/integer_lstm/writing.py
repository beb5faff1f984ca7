"""Tensors, constants and operators added to a TFLite file that is held as the schema's objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.file import give_data

if TYPE_CHECKING:
    from numpy.typing import NDArray


def affine(scale: float, zero_point: int = 0) -> Any:
    """Return the quantization real = scale x (stored - zero point), one for the whole tensor."""
    from ai_edge_litert import schema_py_generated as schema

    quantization = schema.QuantizationParametersT()
    quantization.scale = np.asarray([scale], dtype=np.float32)
    quantization.zeroPoint = np.asarray([zero_point], dtype=np.int64)
    return quantization


def add_tensor(file: Any, element: str, shape: Sequence[int], quantization: Any = None) -> int:
    """Return the place of a new tensor of the main graph."""
    from ai_edge_litert import schema_py_generated as schema

    tensors = file.subgraphs[0].tensors
    tensor = schema.TensorT()
    tensor.name = f"integer_lstm;{len(tensors)}".encode()
    tensor.shape = [int(size) for size in shape]
    tensor.type = getattr(schema.TensorType, element)
    tensor.buffer = 0
    tensor.quantization = quantization
    tensors.append(tensor)
    return len(tensors) - 1


def add_constant(file: Any, array: NDArray[Any], quantization: Any = None) -> int:
    """Return the place of a new tensor of fixed values."""
    place = add_tensor(file, array.dtype.name.upper(), array.shape, quantization)
    give_data(file, file.subgraphs[0].tensors[place], array.tobytes())
    return place


def add_operator(
    file: Any, code: str, inputs: Sequence[int], outputs: Sequence[int], *, options: str, version: int = 1
) -> Any:
    """Return a new operator, which is in no graph yet, with the option table of that name."""
    from ai_edge_litert import schema_py_generated as schema

    kind = schema.OperatorCodeT()
    kind.builtinCode = getattr(schema.BuiltinOperator, code)
    kind.deprecatedBuiltinCode, kind.version = min(kind.builtinCode, 127), version
    file.operatorCodes.append(kind)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(file.operatorCodes) - 1
    operator.inputs, operator.outputs = list(inputs), list(outputs)
    operator.builtinOptions = getattr(schema, f"{options}OptionsT")()
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
    return operator
