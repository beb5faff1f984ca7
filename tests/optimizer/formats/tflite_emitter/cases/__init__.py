"""Generated uses of every operator over its attributes, by family: Hypothesis strategies by ONNX operator."""

from collections.abc import Mapping

from hypothesis.strategies import SearchStrategy

from tests.optimizer.formats.tflite_emitter.cases import activation, comparison, elementwise, reduction
from tests.optimizer.formats.tflite_emitter.cases.case import Case

CASES: Mapping[str, SearchStrategy[Case]] = {
    **elementwise.CASES,
    **comparison.CASES,
    **activation.CASES,
    **reduction.CASES,
}

__all__ = ["CASES", "Case"]
