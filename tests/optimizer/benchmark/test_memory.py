"""Memory of a model in a process of its own."""

from __future__ import annotations

import dataclasses

import pytest

from optimizer.benchmark.memory import measure_memory
from optimizer.errors import MeasureFailed
from tests.optimizer.builders import an_onnx_mlp


@pytest.mark.slow
def test_a_larger_model_takes_more_and_at_least_its_own_bytes() -> None:
    small, large = an_onnx_mlp(inputs=12), an_onnx_mlp(inputs=400_000)

    taken = measure_memory((small, large))

    assert taken[0] >= small.size_bytes
    assert taken[1] - taken[0] > 0.8 * large.size_bytes


@pytest.mark.slow
def test_a_model_that_does_not_load_is_one_line() -> None:
    broken = dataclasses.replace(an_onnx_mlp(), content=b"no model")

    with pytest.raises(MeasureFailed, match=r"mlp: the process that measures memory failed \(.*refuses the model"):
        measure_memory((broken,))
