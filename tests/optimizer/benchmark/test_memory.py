"""Memory of a model in a process of its own."""

from __future__ import annotations

import dataclasses
import os
import signal

import pytest

from contracts.ids import digest_of
from contracts.tensors import ElementType, TensorSpec
from optimizer.benchmark import memory
from optimizer.benchmark.memory import measure_memory
from optimizer.errors import MeasureFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations
from optimizer.passes.save_ort import SaveOrt
from tests.optimizer.builders import an_onnx_mlp


def a_model_that_wants(gigabytes: int) -> Model:
    """Return a model of a few hundred bytes that expands two numbers to that much."""
    from onnx import TensorProto, helper

    shape = helper.make_tensor("s", TensorProto.INT64, [2], [gigabytes * 250_000_000 // 2, 2])
    graph = helper.make_graph(
        [helper.make_node("Expand", ["x", "s"], ["e"]), helper.make_node("ReduceSum", ["e"], ["y"], keepdims=0)],
        "greedy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [shape],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = proto.SerializeToString(deterministic=True)
    given = TensorSpec(name="x", element=ElementType.FP32, shape=(1, 2))
    spec = ModelSpec(format=Format.ONNX, name="greedy", inputs=(given,), outputs=())
    return Model(spec=spec, content=content, digest=digest_of(content))


@pytest.mark.slow
def test_a_larger_model_takes_more_and_at_least_its_own_bytes() -> None:
    small, large = an_onnx_mlp(inputs=12), an_onnx_mlp(inputs=400_000)

    taken = measure_memory((small, large))

    assert taken[0] >= small.size_bytes
    assert taken[1] - taken[0] > 0.8 * large.size_bytes


@pytest.mark.slow
def test_the_ort_format_is_measured_too() -> None:
    saved = SaveOrt().run(an_onnx_mlp(), Observations())

    (taken,) = measure_memory((saved,), threads=2)

    assert taken >= saved.size_bytes


@pytest.mark.slow
def test_a_model_that_does_not_load_is_one_line() -> None:
    broken = dataclasses.replace(an_onnx_mlp(), content=b"no model")

    with pytest.raises(MeasureFailed, match=r"mlp: the process that measures memory failed \(.*refuses the model"):
        measure_memory((broken,))


@pytest.mark.slow
def test_a_model_that_wants_more_than_there_is_fails_politely_and_at_once() -> None:
    with pytest.raises(MeasureFailed, match=r"greedy: .*wants more than the \d+ MB of memory that it may take; leave"):
        measure_memory((a_model_that_wants(100_000),))


@pytest.mark.slow
def test_a_limit_of_ones_own_is_kept() -> None:
    with pytest.raises(MeasureFailed, match="wants more than the 50 MB of memory"):
        measure_memory((a_model_that_wants(2),), limit_bytes=50_000_000)


@pytest.mark.slow
def test_a_process_that_a_signal_ends_is_named_with_the_signal() -> None:
    child = memory.start_measuring(an_onnx_mlp(), threads=1, limit_bytes=1 << 40)
    os.kill(child.process.pid, signal.SIGKILL)

    with child, pytest.raises(MeasureFailed, match="mlp: the runtime was ended by SIGKILL while it loaded or ran"):
        child.result()
