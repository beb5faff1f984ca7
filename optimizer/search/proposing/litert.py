"""What to try in TFLite: each precision that may pay, and what may bring an inaccurate int8 file back.

Dynamic range is left out beside depthwise convolutions when latency is wanted: LiteRT's hybrid kernels for them take
2.5 to 5.5 times the float ones' time. Half precision is for size: LiteRT widens it when it loads the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from optimizer.passes import CalibrationMethod, ExportTflite, Precision, QuantizeTflite
from optimizer.pipeline import Pipeline
from optimizer.search.budget import Objective
from optimizer.search.known import TFLITE_FLOAT, TFLITE_UNROLLED
from optimizer.search.making import Attempt

if TYPE_CHECKING:
    from optimizer.search.known import Known, Tried

TFLITE_INT8: Final = "tflite int8"
_DEPTHWISE: Final = "DEPTHWISE_CONV_2D"
_SEQUENCES: Final = frozenset(
    {"BIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"}
)
_RANGES: Final = (CalibrationMethod.MSE, CalibrationMethod.PERCENTILE)


def unrolled(known: Known) -> Iterator[Attempt]:
    """Yield recurrent layers step by step, where they became one operator each: the size decides which is faster."""
    tflite = known.done(TFLITE_FLOAT)
    if tflite is None or not tflite.product.model.spec.operators & _SEQUENCES:
        return
    *base, export = tflite.attempt.pipeline.steps
    if isinstance(export, ExportTflite):
        step = dataclasses.replace(export, recurrent="unrolled")
        yield Attempt(label=TFLITE_UNROLLED, pipeline=Pipeline(*base, step), built_on=True)


def whole(known: Known, tflite: Tried) -> Iterator[Attempt]:
    """Yield the whole network in each precision that may pay."""
    by_size = known.objective is Objective.SIZE
    yield _quantized(tflite, TFLITE_INT8, QuantizeTflite())
    if known.case.target.full_int8:
        return
    if by_size or _DEPTHWISE not in tflite.product.model.spec.operators:
        yield _quantized(tflite, "tflite int8 dynamic", QuantizeTflite(precision=Precision.DYNAMIC))
    if by_size:
        yield _quantized(tflite, "tflite int8 weights", QuantizeTflite(precision=Precision.WEIGHTS))
        yield _quantized(tflite, "tflite fp16 weights", QuantizeTflite(precision=Precision.FP16))


def mixed(known: Known, tflite: Tried) -> Iterator[Attempt]:
    """Yield int8 wherever an operator has an integer form, where whole int8 was refused."""
    if known.has(TFLITE_INT8) and known.done(TFLITE_INT8) is None and not known.case.target.full_int8:
        yield _quantized(tflite, "tflite int8 mixed", QuantizeTflite(precision=Precision.MIXED))


def repairs(known: Known, wounded: Tried) -> Iterator[Attempt]:
    """Yield variations of an int8 file that lost too much: other ranges, then activations of 16 bits."""
    *base, step = wounded.attempt.pipeline.steps
    if not isinstance(step, QuantizeTflite) or step.precision is not Precision.INT8:
        return
    label = wounded.attempt.label
    for method in _RANGES:
        better = dataclasses.replace(step, method=method)
        yield Attempt(label=f"{label}, {method}", pipeline=Pipeline(*base, better))
    if not known.case.target.full_int8:
        wider = dataclasses.replace(step, precision=Precision.INT16X8)
        yield Attempt(label=f"{label}, activations of 16 bits", pipeline=Pipeline(*base, wider))


def _quantized(tflite: Tried, label: str, step: QuantizeTflite) -> Attempt:
    return Attempt(label=label, pipeline=Pipeline(*tflite.attempt.pipeline.steps, step))
