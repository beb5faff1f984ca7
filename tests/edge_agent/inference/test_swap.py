"""Which release answers now, and when the one before is closed."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.ids import ModelName
from edge_agent.errors import InferenceFailed, ModelNotServed
from edge_agent.inference.served_model import ServedModel
from edge_agent.inference.swap import ServedModels
from tests.builders import INPUT, TinyModel
from tests.edge_agent.inference.artifacts import a_served_model

DIGITS = ModelName("digits")
ROW = {INPUT: TinyModel().rows(1)}


def is_open(served: ServedModel) -> bool:
    """Return whether the model still answers."""
    try:
        served.infer(ROW)
    except InferenceFailed:
        return False
    return True


def test_the_newest_put_answers_and_the_one_before_is_closed() -> None:
    models, old, new = ServedModels(), a_served_model(version="1"), a_served_model(version="2")
    models.put(old)

    models.put(new)

    assert models.get(DIGITS) is new
    assert models.releases() == {DIGITS: "digits@2"}
    assert (is_open(old), is_open(new)) == (False, True)


def test_a_request_in_flight_finishes_on_the_release_it_began_with() -> None:
    models, old, new = ServedModels(), a_served_model(version="1"), a_served_model(version="2")
    models.put(old)

    with models.borrow(DIGITS) as first, models.borrow(DIGITS) as second:
        models.put(new)
        answers = first.infer(ROW), second.infer(ROW)
        fresh = models.get(DIGITS)

    assert fresh is new
    np.testing.assert_array_equal(answers[0]["probability"], answers[1]["probability"])
    assert not is_open(old)


def test_it_stays_open_until_the_last_of_several_borrowers_is_done() -> None:
    models, old = ServedModels(), a_served_model()
    models.put(old)

    with models.borrow(DIGITS):
        with models.borrow(DIGITS):
            models.remove(DIGITS)
        still_open = is_open(old)

    assert still_open
    assert not is_open(old)


def test_putting_what_answers_already_keeps_it_open() -> None:
    models, served = ServedModels(), a_served_model()

    models.put(served)
    models.put(served)

    assert is_open(served)


def test_a_model_that_is_not_there_is_named_with_those_that_are() -> None:
    models = ServedModels()
    models.put(a_served_model())

    with pytest.raises(ModelNotServed, match="no model 'letters' is served here; served now: digits"):
        models.get(ModelName("letters"))

    models.remove(ModelName("letters"))
    models.remove(DIGITS)
    with pytest.raises(ModelNotServed, match="served now: none"), models.borrow(DIGITS):
        pass
