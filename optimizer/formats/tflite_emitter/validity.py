"""What is asked of a graph before a line of it is read, and what becomes of uses that nobody foresaw.

A graph that ONNX Runtime refuses means nothing that could be compared. One that it takes may still be written in a way
that no operator here expects: that is refused with its place, too, and never a traceback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from optimizer.errors import PassFailed, first_line
from optimizer.formats.onnx_format import runtime_errors
from optimizer.formats.quiet import quiet
from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation
from optimizer.formats.tflite_emitter.table import refusal

_SUMS: Final = frozenset({
    "BatchNormalization", "Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "InstanceNormalization", "LSTM",
    "LayerNormalization", "MatMul", "RNN",
})  # fmt: skip
UNFORESEEN: Final = "a use of it that is not foreseen"
_SIGNS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What Python raises where a shape, a type or a number is not what was expected, or is out of all proportion."""


def check_accepted(content: bytes) -> None:
    """Return where ONNX Runtime takes the graph.

    Raises:
        PassFailed: it refuses the graph; its own words say why.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "1")  # nothing is run
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    refused: tuple[type[Exception], ...] = (*runtime_errors(), RuntimeError)
    try:
        with quiet():
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refused as error:
        raise PassFailed(
            f"export-tflite: ONNX Runtime refuses this graph ({first_line(error)}); export the model again"
        ) from error


def check_sound(graph: OnnxGraph) -> None:
    """Return where inputs hold something, axes are there, and constants that are computed with are numbers.

    Masks may hold infinity.

    Raises:
        PassFailed: an input, a result or an output is of size 0, or a constant holds NaN, or infinity where it is
            multiplied into sums: the file is damaged, or was trained so.
        UnsupportedOperator: an axis is none of the input's.
    """
    computed = (name for operation in graph.operations for name in operation.outputs)
    outside = (*graph.inputs, *(name for _, name in graph.outputs))
    known = (name for name in (*outside, *computed) if name in graph.facts)
    empty = next((name for name in known if 0 in graph.facts[name].shape), None)
    if empty is not None:
        raise PassFailed(f"export-tflite: {empty!r} has a size of 0: it holds nothing; export it with its real size")
    for operation in graph.operations:
        fact, axis = graph.facts.get(operation.input(0)), operation.attributes.get("axis")
        if fact is not None and isinstance(axis, int) and not -len(fact.shape) <= axis + 1 <= len(fact.shape) + 1:
            raise refusal(operation, f"its axis is {axis}, and its input has {len(fact.shape)}")
        for name in operation.inputs:
            array = graph.constants.get(name)
            if array is None or array.dtype.kind != "f":
                continue
            if not array.size and operation.op in _SUMS:
                raise refusal(operation, f"its constant {name!r} is empty")
            if np.isfinite(array).all():
                continue
            if np.isnan(array).any() or operation.op in _SUMS:
                what = "NaN" if np.isnan(array).any() else "infinity"
                raise PassFailed(
                    f"export-tflite: constant {name!r} of {operation.op} at {operation.name!r} holds {what}: no answer "
                    "of this model can be trusted; export it again from sound weights"
                )


@contextlib.contextmanager
def foreseen(operation: Operation) -> Iterator[None]:
    """Turn what Python raises over an operation into a refusal that names it.

    Raises:
        UnsupportedOperator: the operation's shapes, types or attributes are not what its writing expects.
    """
    try:
        yield
    except _SIGNS as error:
        raise refusal(operation, f"{UNFORESEEN} ({type(error).__name__}: {first_line(error)})") from error


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Turn what Python or onnx raises while the graph is read or rewritten into a refusal.

    Raises:
        PassFailed: its shapes, types or attributes are not what reading expects.
    """
    from onnx.shape_inference import InferenceError

    try:
        yield
    except (*_SIGNS, InferenceError) as error:
        raise PassFailed(
            f"export-tflite: the graph holds {UNFORESEEN.replace(' of it', '')} "
            f"({type(error).__name__}: {first_line(error)}); simplify it, or export the model again"
        ) from error
