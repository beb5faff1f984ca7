"""``python -m tests.long.emitter_child``: emits whatever graph it is handed, in a process that may die of it.

In: eight bytes of number, four of length (big-endian), the ONNX file. Out: a line for each stage begun (``stage NAME``:
``original``, ``emit``, ``written``), then one that says what came of it:

- ``refused CODE``: the documented error, in one line; ``refused unforeseen``: by the net for what nobody foresaw
- ``equal``: the written file answers as ONNX Runtime does
- ``unasked``: a file was written; ONNX Runtime refuses the rows or answers NaN, so there is nothing to compare with
- ``steep``: it answers otherwise, and so does ONNX Runtime when its inputs change in their last digits
- ``near``: it differs by up to 1e-3: kernels round otherwise, and a logarithm made it large; the pass measures, and refuses it
- ``wrong WHY`` and ``escaped TYPE: MESSAGE``: bugs
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import OptimizerError
from optimizer.formats.probe import limit_memory
from tests.long.graphs import rows

MEMORY_BYTES = 4 << 30
TOLERANCE = 1e-5
CLOSE = 1e-3
SMALL_CHANGE = 3e-7
"""Relative; about two of the last digits of a float."""
SLACK = 20.0
HUGE = 1e6
ASKED = 3
_TIES = "wrong answers: numbers of places alone"

Answers = Mapping[str, NDArray[Any]]
Original = Callable[[Answers], Answers | None]
Written = Callable[[Answers], Answers]


def outcome(content: bytes, number: int, stage: Callable[[str], None]) -> str:
    """Return what comes of the graph."""
    from optimizer.formats.tflite_emitter import emit
    from optimizer.formats.tflite_emitter.validity import UNFORESEEN

    stage("original")
    asked = [rows(content, number + turn) for turn in range(ASKED)]
    original = _original(content)
    answers = [_sound(original(row)) if original and row is not None else None for row in asked]
    stage("emit")
    try:
        emitted = emit(content)
    except OptimizerError as error:
        if UNFORESEEN.partition(" of it")[2] in str(error):
            return f"refused unforeseen{'' if all(one is None for one in answers) else '_use_that_runs'}: {error}"
        return f"refused {error.code}" if "\n" not in str(error) else f"escaped a message of several lines: {error!r}"
    stage("written")
    written = _written(emitted.content, emitted.channel_last)
    known = [(row, one) for row, one in zip(asked, answers, strict=True) if row is not None and one is not None]
    if original is None or not known:
        return "unasked"
    if isinstance(written, str):
        return f"wrong {written}"
    told = {_compared(original, written, row, expected): row for row, expected in known}
    if "equal" in told:
        told.pop(_TIES, None)  # two that round to the same: which is the largest is anybody's guess
    worst = max(told)  # "wrong" comes last
    return worst if not worst.startswith("wrong") or _is_sound_within(content, told[worst]) else "unasked"


def _is_sound_within(content: bytes, row: Answers) -> bool:
    """Return whether all that ONNX Runtime computes on the way are numbers of a size that networks compute with.

    What hangs on NaN is nobody's answer; and of 1e30, XNNPACK's sigmoid is NaN.
    """
    import onnx

    model = onnx.load_from_string(content)
    outside = {item.name for item in model.graph.output}
    names = {name for node in model.graph.node for name in node.output if name} - outside
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(names))
    whole = _original(model.SerializeToString())
    inner = None if whole is None else whole(row)
    return inner is None or all(_is_moderate(values) for values in inner.values())


def _is_moderate(values: NDArray[Any]) -> bool:
    return values.dtype.kind != "f" or bool((np.abs(values) < HUGE).all())


def _compared(original: Original, written: Written, row: Answers, expected: Answers) -> str:
    """Return ``equal``, ``near``, ``steep`` or ``wrong WHY``."""
    try:
        difference = largest_difference(expected, written(row))
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        return f"wrong it does not run: {error}"
    if difference <= TOLERANCE:
        return "equal"
    steepness = max(_steepness(original, row, expected, turn) for turn in range(3))
    if difference <= SLACK * steepness:
        return "steep"
    if difference <= CLOSE:
        return "near"
    answers = written(row)
    floats = [name for name, values in expected.items() if values.dtype.kind == "f"]
    if floats and largest_difference(*({name: one[name] for name in floats} for one in (expected, answers))) <= CLOSE:
        return _TIES
    return f"wrong answers: {difference:.1e} of the largest (its own change {steepness:.1e})"


def _sound(answers: Answers | None) -> Answers | None:
    """Return the answers; None where one of them is no number, so that no other answer could be called right."""
    return None if answers is None or not all(_finite(values) for values in answers.values()) else answers


def _finite(values: NDArray[Any]) -> bool:
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def largest_difference(expected: Answers, actual: Answers) -> float:
    """Return the largest difference of an output over its largest value; infinite for another shape, type or name."""
    if list(expected) != list(actual):
        return float("inf")
    worst = 0.0
    for name, exact in expected.items():
        mine = actual[name]
        kinds = {exact.dtype.kind, mine.dtype.kind}
        if exact.shape != mine.shape or (exact.dtype != mine.dtype and kinds != {"f"}):
            return float("inf")
        one, two = exact.astype(np.float64), mine.astype(np.float64)
        if not np.isfinite(two).all():
            return float("inf")
        largest = max(float(np.abs(one).max(initial=0.0)), 1e-30)
        worst = max(worst, float(np.abs(one - two).max(initial=0.0)) / largest)
    return worst


def _steepness(original: Original, row: Answers, expected: Answers, number: int) -> float:
    """Return how far ONNX Runtime's own answers move when the last digits of its inputs do."""
    chance = np.random.default_rng(number)
    moved = {
        name: (values * (1 + SMALL_CHANGE * chance.uniform(-1, 1, values.shape))).astype(values.dtype)
        if values.dtype.kind == "f"
        else values
        for name, values in row.items()
    }
    again = _sound(original(moved))
    return float("inf") if again is None else largest_difference(expected, again)


def _original(content: bytes) -> Original | None:
    """Return ONNX Runtime's session as a call; None where it refuses the graph."""
    import onnxruntime

    from optimizer.formats.onnx_format import runtime_errors

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    errors: tuple[type[Exception], ...] = (*runtime_errors(), ValueError, RuntimeError)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except errors:
        return None
    names = [item.name for item in session.get_outputs()]

    def call(row: Answers) -> Answers | None:
        try:
            return dict(zip(names, session.run(None, dict(row)), strict=True))
        except errors:
            return None

    return call


def _written(content: bytes, turned: frozenset[str]) -> Written | str:
    """Return the written file as a call with the model's own rows, or why LiteRT refuses it."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        return f"it does not load: {error}"
    run = interpreter.get_signature_runner("serving_default")
    order = [item["name"] for item in interpreter.get_output_details()]

    def call(row: Answers) -> Answers:
        moved = {
            name: np.ascontiguousarray(np.moveaxis(values, 1, -1)) if name in turned else values
            for name, values in row.items()
        }
        given = run(**moved)
        return {name: given[name] for name in order}

    return call


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer until there is no more."""

    def say(line: str) -> None:
        sink.write(line.replace("\n", " ")[:400].encode(errors="replace") + b"\n")
        sink.flush()

    while head := source.read(12):
        content = source.read(int.from_bytes(head[8:], "big"))
        number = int.from_bytes(head[:8], "big")
        try:
            say(outcome(content, number, lambda stage: say(f"stage {stage}")))
        except MemoryError:
            say("refused memory")
        except Exception as error:  # noqa: BLE001 - what escapes is what is looked for
            say(f"escaped {type(error).__name__}: {error} {_place(error)}")


def _place(error: BaseException) -> str:
    trace, last = error.__traceback__, ""
    while trace is not None:
        last = f"at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return last


if __name__ == "__main__":
    limit_memory(MEMORY_BYTES)
    answers = os.fdopen(os.dup(1), "wb")  # what libraries print to stdout must not mix with the answers
    os.dup2(2, 1)
    main(sys.stdin.buffer, answers)
