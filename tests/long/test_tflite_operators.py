"""Every operator over its attributes beside ONNX Runtime, hundreds of uses each, seeded anew in every run."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.strategies import DataObject, data

from tests.optimizer.formats.tflite_emitter.answers import check_case
from tests.optimizer.formats.tflite_emitter.cases import CASES
from tests.slow import record, seed

pytestmark = [pytest.mark.long, pytest.mark.slow]

EXAMPLES = 500


@pytest.mark.parametrize("operator", sorted(CASES))
def test_a_generated_use_answers_as_onnx_runtime_does(operator: str) -> None:
    outcomes: Counter[bool] = Counter()

    @seeded(seed())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(draw=data())
    def each(draw: DataObject) -> None:
        case = draw.draw(CASES[operator])
        emitted = check_case(case)
        outcomes[emitted is not None] += 1
        assert emitted is not None or case.refusable

    each()

    record(f"float {operator}", f"{outcomes[True]} equal, {outcomes[False]} refused")
