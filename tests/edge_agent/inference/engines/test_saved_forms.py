"""The engine laws over what the optimizer saves for ONNX Runtime: the agent serves it from its bytes."""

from __future__ import annotations

import pytest

from edge_agent.inference.engine import Engine
from edge_agent.inference.engines.onnxruntime_engine import OnnxruntimeEngine
from optimizer.model import Format, Model
from optimizer.pass_ import Observations, Pass
from optimizer.passes.save_optimized import Level, SaveOptimized
from optimizer.passes.save_ort import SaveOrt
from tests.builders import onnx_bytes
from tests.conformance.engine_laws import EngineLaws


class SavedFormLaws(EngineLaws):
    """The laws over one form; subclass it and supply ``form``."""

    form: Pass

    def model_bytes(self) -> bytes:
        """Return the tiny model in that form."""
        plain = Model.from_bytes(Format.ONNX, onnx_bytes(self.tiny), name="tiny")
        return self.form.run(plain, Observations()).content

    def load(self, model: bytes) -> Engine:
        """Return the engine for the bytes."""
        return OnnxruntimeEngine.load(model, threads=1)


class TestOrtFormat(SavedFormLaws):
    form = SaveOrt()


class TestOrtFormatLaidOutForThisMachine(SavedFormLaws):
    form = SaveOrt(level=Level.ALL)


@pytest.mark.parametrize("level", list(Level))
def test_an_optimized_file_is_read_as_any_onnx_file(level: Level) -> None:
    from tests.optimizer.passes.nets import chain_net

    optimized = SaveOptimized(level=level).run(chain_net(), Observations())

    engine = OnnxruntimeEngine.load(optimized.content, threads=1)

    assert engine.inputs == optimized.inputs
    assert engine.outputs == optimized.outputs
