"""Every pass of the catalog under every law."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from optimizer.model import Format, Model
from optimizer.pass_ import Observations, Pass
from optimizer.passes import CATALOG, ExportTflite
from tests.conformance.pass_laws import PassLaws
from tests.optimizer.builders import a_torch_mlp, an_onnx_mlp, rows


@cache
def _a_model(kind: Format) -> Model:
    models: dict[Format, Callable[[], Model]] = {
        Format.TORCH: a_torch_mlp,
        Format.ONNX: an_onnx_mlp,
        Format.TFLITE: lambda: ExportTflite().run(an_onnx_mlp(), Observations()),
    }
    return models[kind]()


@pytest.mark.slow
class TestCatalog(PassLaws):
    """The laws, over the catalog."""

    @pytest.fixture(params=CATALOG, ids=lambda kind: str(kind.name))
    def step(self, request: pytest.FixtureRequest) -> Pass:
        """Return each pass with its defaults."""
        kind: type[Pass] = request.param
        return kind()

    @pytest.fixture
    def model(self, step: Pass) -> Model:
        """Return a small MLP in the format that the pass accepts."""
        return _a_model(step.accepts)

    @pytest.fixture
    def seen(self, step: Pass, model: Model) -> Observations:
        """Return as many seeded rows as the pass asks for."""
        wanted = step.observes(model.spec).rows
        return Observations(rows={spec.name: rows(spec.shape[1:], count=wanted) for spec in model.inputs if wanted})


def test_names_of_passes_are_unique_and_hyphenated() -> None:
    names = [kind.name for kind in CATALOG]

    assert len(set(names)) == len(names)
    assert [name for name in names if name != name.lower() or "_" in name] == []
