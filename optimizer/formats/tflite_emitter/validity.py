"""What is asked of a graph before a line of it is read, and what becomes of uses that nobody foresaw.

A graph that ONNX Runtime refuses means nothing that could be compared. One that it takes may still be written in a way
that no operator here expects: that is refused with its place, too, and never a traceback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from optimizer.errors import PassFailed, first_line
from optimizer.formats.onnx_format import runtime_errors
from optimizer.formats.quiet import quiet
from optimizer.formats.tflite_emitter.graph import Operation
from optimizer.formats.tflite_emitter.table import refusal

UNFORESEEN: Final = "a use of it that is not foreseen"
_SIGNS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What Python raises where a shape, a type or a number is not what was expected."""


def check_accepted(content: bytes) -> None:
    """Return where ONNX Runtime takes the graph.

    Raises:
        PassFailed: it refuses the graph; its own words say why.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        with quiet():
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except (*runtime_errors(), RuntimeError) as error:
        raise PassFailed(
            f"export-tflite: ONNX Runtime refuses this graph ({first_line(error)}); export the model again"
        ) from error


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
