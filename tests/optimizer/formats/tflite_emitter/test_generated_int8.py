"""Every operator over its attributes in full int8: answers within a bound of the float file's, or a clear refusal."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import DataObject, data

from tests.optimizer.formats.tflite_emitter.cases import CASES
from tests.optimizer.formats.tflite_emitter.int8_answers import check_int8

EXAMPLES = 8


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
def test_int8_answers_as_float_does_or_is_refused(operator: str, draw: DataObject) -> None:
    case = draw.draw(CASES[operator])

    assert check_int8(case) in {"within", "refused"}
