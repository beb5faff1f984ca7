"""Every operator over its attributes, beside ONNX Runtime: generated uses, seeded so that two runs try the same."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import DataObject, data

from optimizer.formats.tflite_emitter.table import ENTRIES, FOLDED, REWRITTEN, SUPPORTED
from tests.optimizer.formats.tflite_emitter.answers import check_case
from tests.optimizer.formats.tflite_emitter.cases import CASES

EXAMPLES = 30
ELSEWHERE = {
    "Constant": "test_operators: a constant has no attribute space",
    "Dropout": "test_operators: it vanishes",
    "Identity": "test_operators: it vanishes",
    "If": "test_reading: branches of a constant condition",
    "Shape": "test_layout and test_batch: it is a constant or hangs on the batch",
    "Size": "test_reading: as Shape",
}
"""Operators that are tried elsewhere, and why."""


@pytest.mark.slow
@pytest.mark.parametrize("operator", sorted(CASES))
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(draw=data())
def test_a_generated_use_answers_as_onnx_runtime_does(operator: str, draw: DataObject) -> None:
    case = draw.draw(CASES[operator])

    emitted = check_case(case)

    assert emitted is not None or case.refusable


def test_every_operator_of_the_table_is_generated_or_tried_elsewhere_for_a_reason() -> None:
    assert set(SUPPORTED) - set(CASES) == set(ELSEWHERE)
    assert set(SUPPORTED) == {*ENTRIES, *FOLDED, *REWRITTEN}
