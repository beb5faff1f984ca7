"""Every operator over its attributes in full int8, hundreds of uses each, seeded anew in every run."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.strategies import DataObject, data

from tests.optimizer.formats.tflite_emitter.cases import CASES
from tests.optimizer.formats.tflite_emitter.int8_answers import check_int8
from tests.slow import record, seed

pytestmark = [pytest.mark.long, pytest.mark.slow]

EXAMPLES = 200


@pytest.mark.parametrize("operator", sorted(CASES))
def test_int8_answers_as_float_does_or_is_refused(operator: str) -> None:
    outcomes: Counter[str] = Counter()

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
        outcome = check_int8(draw.draw(CASES[operator]))
        outcomes[outcome] += 1
        assert outcome in {"within", "refused"}

    each()

    record(f"int8 {operator}", f"{outcomes['within']} within, {outcomes['refused']} refused")
