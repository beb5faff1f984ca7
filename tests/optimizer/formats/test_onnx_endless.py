"""Runs without an end are ended, and the session goes on."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optimizer.errors import MeasureFailed
from optimizer.formats.onnx_format import OnnxSession


def a_model_that_turns_as_often_as_its_row_says() -> bytes:
    """Return a model that is quick on zeros and has no end on ones, as a probe on zeros cannot know."""
    condition, value = (
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (("c", TensorProto.BOOL, []), ("v", TensorProto.FLOAT, ["n", 1]))
    )
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    again = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
    more = helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n", 1])
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["again"]), helper.make_node("Neg", ["v"], ["more"])],
        "body",
        [count, condition, value],
        [again, more],
    )
    operations = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "many"], ["large"]),
        helper.make_node("Cast", ["large"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body),
    ]
    graph = helper.make_graph(
        operations,
        "turning",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.float32(1e12), "many")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_a_run_without_an_end_is_given_up_and_the_session_goes_on() -> None:
    session = OnnxSession(a_model_that_turns_as_often_as_its_row_says(), name="turning", threads=1, limit_s=0.1)
    start = time.monotonic()

    with pytest.raises(MeasureFailed, match="turning: a run was given up after 0 s; a loop in the model may have no"):
        session.run({"x": np.ones((1, 1), np.float32)})

    assert time.monotonic() - start < 5
    assert session.run({"x": np.zeros((1, 1), np.float32)})["y"].tolist() == [[0.0]]
