"""Generated uses of every operator over its attributes, by family: Hypothesis strategies by ONNX operator."""

from collections.abc import Mapping

from hypothesis.strategies import SearchStrategy

from tests.optimizer.formats.tflite_emitter.cases import (
    activation,
    attention,
    batch_normalization,
    comparison,
    dense,
    elementwise,
    normalization,
    recurrent,
    reduction,
    resize,
    selection,
    shape,
    windows,
)
from tests.optimizer.formats.tflite_emitter.cases.case import Case

CASES: Mapping[str, SearchStrategy[Case]] = {
    **elementwise.CASES,
    **comparison.CASES,
    **activation.CASES,
    **reduction.CASES,
    **windows.CASES,
    **resize.CASES,
    **selection.CASES,
    **shape.CASES,
    **recurrent.CASES,
    **batch_normalization.CASES,
    **dense.CASES,
    **attention.CASES,
    **normalization.CASES,
}

__all__ = ["CASES", "Case"]
