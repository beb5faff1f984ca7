"""What every pass must hold, written once; ``tests/optimizer/test_catalog.py`` runs it over the whole catalog."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.ids import digest_of
from optimizer.model import Model
from optimizer.pass_ import Observations, Pass
from optimizer.recipe import Recipe, Subject, dump, load_text
from tests.optimizer.builders import a_profile


class PassLaws:
    """Subclass it and supply ``step`` (a pass with its defaults) and ``model``, ``seen`` (what it gets)."""

    @pytest.fixture
    def step(self) -> Pass:
        """Return the pass under test."""
        raise NotImplementedError

    @pytest.fixture
    def model(self, step: Pass) -> Model:
        """Return a model that the pass accepts."""
        raise NotImplementedError

    @pytest.fixture
    def seen(self, step: Pass, model: Model) -> Observations:
        """Return the calibration rows that the pass asks for."""
        raise NotImplementedError

    def test_it_does_not_object_to_the_model(self, step: Pass, model: Model) -> None:
        assert list(step.objections(model.spec, a_profile())) == []

    def test_the_result_has_the_promised_format(self, step: Pass, model: Model, seen: Observations) -> None:
        assert step.run(model, seen).format is step.produces

    def test_the_same_input_gives_the_same_bytes(self, step: Pass, model: Model, seen: Observations) -> None:
        first = step.run(model, seen)

        second = step.run(model, seen)

        assert first.digest == second.digest
        assert first.content == second.content

    def test_model_and_rows_that_went_in_are_what_they_were(self, step: Pass, model: Model, seen: Observations) -> None:
        before = {name: values.copy() for name, values in seen.rows.items()}

        step.run(model, seen)

        assert digest_of(model.content) == model.digest
        assert {name: values.tobytes() for name, values in seen.rows.items()} == {
            name: values.tobytes() for name, values in before.items()
        }

    def test_the_result_is_a_file_that_loads_with_the_tensors_it_claims(
        self, step: Pass, model: Model, seen: Observations
    ) -> None:
        result = step.run(model, seen)

        assert Model.from_bytes(result.format, result.content, name=result.name).spec == result.spec

    def test_the_result_is_quantized_exactly_if_the_pass_quantizes(
        self, step: Pass, model: Model, seen: Observations
    ) -> None:
        assert step.run(model, seen).spec.quantized is step.quantizes

    def test_no_path_of_this_machine_is_left_in_the_bytes(self, step: Pass, model: Model, seen: Observations) -> None:
        assert b"site-packages" not in step.run(model, seen).content

    def test_each_parameter_is_documented_and_has_a_default(self, step: Pass) -> None:
        fields = dataclasses.fields(step)

        assert [item.name for item in fields if not item.metadata.get("doc")] == []
        assert [item.name for item in fields if item.default is dataclasses.MISSING] == []

    def test_it_survives_the_way_through_a_recipe(self, step: Pass) -> None:
        recipe = Recipe(subject=Subject(model="m.onnx", target="t"), steps=(step,))

        assert load_text(dump(recipe)).steps == (step,)
