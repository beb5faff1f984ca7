"""Which ONNX operator is written by which function: the whole list of what is supported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from optimizer.formats.tflite_emitter.lower_dense import lower_gemm, lower_matmul
from optimizer.formats.tflite_emitter.lower_elementwise import lower_activation, lower_binary, lower_unary
from optimizer.formats.tflite_emitter.lower_reduction import lower_global_average, lower_mean, lower_softmax
from optimizer.formats.tflite_emitter.lower_shape import lower_concat, lower_pad, lower_reshape, lower_transpose
from optimizer.formats.tflite_emitter.lower_window import lower_average_pool, lower_convolution, lower_max_pool

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.lowering import Lowering
    from optimizer.formats.tflite_emitter.onnx_graph import Operation

LOWERINGS: Mapping[str, Callable[[Operation, Lowering], None]] = {
    "Add": lower_binary,
    "AveragePool": lower_average_pool,
    "Clip": lower_activation,
    "Concat": lower_concat,
    "Conv": lower_convolution,
    "Div": lower_binary,
    "Flatten": lower_reshape,
    "Gemm": lower_gemm,
    "GlobalAveragePool": lower_global_average,
    "MatMul": lower_matmul,
    "MaxPool": lower_max_pool,
    "Mul": lower_binary,
    "Pad": lower_pad,
    "ReduceMean": lower_mean,
    "Relu": lower_activation,
    "Reshape": lower_reshape,
    "Sigmoid": lower_unary,
    "Softmax": lower_softmax,
    "Squeeze": lower_reshape,
    "Sub": lower_binary,
    "Tanh": lower_unary,
    "Transpose": lower_transpose,
    "Unsqueeze": lower_reshape,
}

SUPPORTED: tuple[str, ...] = tuple(sorted((*LOWERINGS, "BatchNormalization", "Constant", "Dropout", "Identity")))
"""Every ONNX operator that can be written; the last four are folded away before lowering."""
