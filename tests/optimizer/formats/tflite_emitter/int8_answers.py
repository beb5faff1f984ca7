"""A generated use of an operator in full int8: emitted, calibrated on its own inputs, quantized, run beside float."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from contracts.preprocessing import to_real, to_stored
from optimizer.calibration.instrument import instrumented
from optimizer.calibration.observe import NotFiniteError, observe
from optimizer.calibration.statistics import Statistics, merge
from optimizer.errors import MeasureFailed, PassFailed, UnsupportedOperator
from optimizer.formats.session import open_session
from optimizer.formats.tflite_emitter import emit
from optimizer.formats.tflite_emitter.file import operations, read_file
from optimizer.formats.tflite_format import float_tensors
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes import QuantizeTflite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.optimizer.formats.tflite_emitter.cases import Case

    Row = Mapping[str, NDArray[np.generic]]

REFUSAL = re.compile(
    r"no int8 form of [A-Z0-9_, ]+;|nothing to quantize|what makes them|can't be written|refused by LiteRT|no integers can tell apart|can't quantize case \(|"
    r"data\[i\] != zero_point"
)
"""How a use that has no int8 form is refused; the last is LiteRT's own word on a divisor that rounds to zero."""
STEPS_PER_PRODUCT = 8
"""What rounding weights adds: each is off by up to 1/254 of its channel's largest, and a sum that nearly cancels out is
smaller than its terms; eight steps is that for 64 terms of random signs."""
HEAVY = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"})
UNBOUNDED = frozenset({"DIV", "SQRT", "RSQRT"})
"""Where rounding what they read near zero changes what they give without bound; a single one reads exact values."""


def quantized(case: Case) -> tuple[Model, Model, Sequence[Row]]:
    """Return the float file, its full int8, and the case's rows as the files take them.

    Raises:
        UnsupportedOperator: the use is not written.
        PassFailed: it has no int8 form; the message names the operator.
    """
    emitted = emit(case.content)
    original = Model.from_bytes(Format.TFLITE, emitted.content, name="case")
    rows = [
        {
            name: np.ascontiguousarray(np.moveaxis(values, 1, -1)) if name in emitted.channel_last else values
            for name, values in row.items()
        }
        for row in case.inputs
    ]
    together = {name: np.concatenate([np.atleast_1d(row[name]) for row in rows]) for name in rows[0]}
    seen = Observations(rows=together, statistics=statistics(original, rows))
    return original, QuantizeTflite().run(original, seen), rows


def statistics(model: Model, rows: Sequence[Row]) -> Statistics:
    """Return what the tensors of a TFLite file looked like over rows of any shape."""
    if not all(np.isfinite(values).all() for row in rows for values in row.values()):
        raise NotFiniteError  # as collecting does
    shown = instrumented(model, threads=1)

    def of(row: Row) -> Statistics:
        seen = {name: observe(values, axis=values.ndim - 1) for name, values in shown.run(row).items()}
        return Statistics(rows=1, tensors={name: found for name, found in seen.items() if found is not None})

    return reduce(merge, map(of, rows))


def worst_error(original: Model, made: Model, rows: Sequence[Row]) -> float:
    """Return the largest difference of a float output, in shares of what may be expected; more than 1 is wrong.

    Both get the same values: those that the int8 inputs stand for, so the inputs' own rounding is no error. What may
    be expected are two steps of the output for each operator (it rounds what it gives, its kernel the factor between
    the scales), one more for the output's own rounding, and, where there are weights, their share.
    """
    float_session, int8_session = open_session(original, threads=1), open_session(made, threads=1)
    worst = 0.0
    allowed = _allowed(made)
    for row in rows:
        stored = {
            own.name: to_stored(row[spec.name], own) if own.quantization else row[spec.name]
            for spec, own in zip(original.inputs, made.inputs, strict=True)
        }
        same = {
            spec.name: to_real(stored[own.name], own.quantization) if own.quantization else stored[own.name]
            for spec, own in zip(original.inputs, made.inputs, strict=True)
        }
        expected, actual = float_session.run(same), int8_session.run(stored)
        for spec, own in zip(original.outputs, made.outputs, strict=True):
            assert expected[spec.name].shape == actual[own.name].shape
            if own.quantization is None:
                continue
            scale = own.quantization.scale
            low, high = ((edge - own.quantization.zero_point) * scale for edge in (-128, 127))
            gap = np.abs(np.clip(expected[spec.name], low, high) - to_real(actual[own.name], own.quantization))
            worst = max(worst, float(gap.max(initial=0.0)) / (allowed * scale))
    return worst


def _allowed(made: Model) -> float:
    """Return how many steps of its output the file may be off."""
    steps = [one.operator for one in operations(read_file(made.content))]
    if UNBOUNDED.intersection(steps):
        return math.inf if len(steps) > 1 or "DIV" in steps else 2.0
    return 1 + 2 * len(steps) + STEPS_PER_PRODUCT * sum(step in HEAVY for step in steps)


def check_int8(case: Case) -> str:
    """Return what came of the case: ``within`` its bound, or ``refused`` in words that name what to do.

    Raises:
        AssertionError: the answers are wrong.
    """
    try:
        original, made, rows = quantized(case)
        worst = worst_error(original, made, rows)
    except NotFiniteError:  # what the plan says of such rows is tested with the statistics
        return "refused"
    except (UnsupportedOperator, PassFailed, MeasureFailed) as error:
        return "refused" if REFUSAL.search(str(error)) else f"refused without a reason: {error}"
    assert worst <= 1, f"{worst:.2f} times what may be expected"
    assert float_tensors(made.content) == ()
    return "within"
