"""Simplifying writes the mean over all places of an image as a global pool, and leaves other means alone."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.formats.session import open_session
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes import SimplifyOnnx
from tests.optimizer.formats.onnx_graphs import graph, node, weights


def _a_model(axes: list[int], keepdims: int) -> Model:
    parts = (node("Conv", "image w", "c"), node("ReduceMean", "c", "m", axes=axes, keepdims=keepdims))
    content = graph(*parts, inputs={"image": (1, 3, 8, 8)}, constants={"w": weights(4, 3, 3, 3)}, outputs="m", opset=13)
    return Model.from_bytes(Format.ONNX, content, name="means")


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_mean_over_all_places_becomes_a_pool_and_answers_the_same(keepdims: int) -> None:
    model = _a_model([2, 3], keepdims)
    image = np.random.default_rng(3).normal(size=(1, 3, 8, 8)).astype(np.float32)

    simple = SimplifyOnnx().run(model, Observations())

    assert "ReduceMean" not in simple.spec.operators
    assert "GlobalAveragePool" in simple.spec.operators
    before, after = (np.asarray(open_session(one).run({"image": image})["m"], np.float32) for one in (model, simple))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def test_a_mean_over_one_axis_stays_a_mean() -> None:
    assert "ReduceMean" in SimplifyOnnx().run(_a_model([3], 0), Observations()).spec.operators
