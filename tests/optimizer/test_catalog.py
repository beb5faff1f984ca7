"""Every pass of the catalog under every law."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from optimizer.calibration.collect import collect
from optimizer.model import Format, Model
from optimizer.pass_ import Observations, Pass
from optimizer.passes import CATALOG, ExportTflite
from tests.conformance.pass_laws import PassLaws
from tests.optimizer.builders import a_torch_mlp, an_onnx_mlp, rows
from tests.optimizer.formats.onnx_graphs import graph, node, weights
from tests.optimizer.passes.encoders import an_encoder
from tests.optimizer.passes.pad_channels.nets import a_narrow_net
from tests.optimizer.passes.seeing import model_of


@cache
def _a_normalized_net() -> Model:
    """Return a convolution behind which a batch normalization stands."""
    names = ("scale", "shift", "mean", "variance")
    return model_of(
        graph(
            node("Conv", "row w", "c"),
            node("BatchNormalization", "c scale shift mean variance", "y"),
            inputs={"row": (1, 3, 6)},
            constants={"w": weights(4, 3, 3), **{name: abs(weights(4, seed=5)) + 0.5 for name in names}},
        )
    )


_SUITED: dict[str, Callable[[], Model]] = {
    "arrange-transformer": an_encoder,
    "fold-batchnorm": _a_normalized_net,
    "pad-channels": a_narrow_net,
}
"""What a pass works on, where that is not the MLP."""


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
        """Return a small model of the format that the pass accepts."""
        return _SUITED[step.name]() if step.name in _SUITED else _a_model(step.accepts)

    @pytest.fixture
    def seen(self, step: Pass, model: Model) -> Observations:
        """Return as many seeded rows as the pass asks for, and statistics over as many."""
        wants = step.observes(model.spec)
        shown, counted = (
            {spec.name: rows(spec.shape[1:], count=count) for spec in model.inputs if count}
            for count in (wants.rows, wants.statistics_rows)
        )
        return Observations(rows=shown, statistics=collect(model, [counted]) if counted else None)


def test_names_of_passes_are_unique_and_hyphenated() -> None:
    names = [kind.name for kind in CATALOG]

    assert len(set(names)) == len(names)
    assert [name for name in names if name != name.lower() or "_" in name] == []
