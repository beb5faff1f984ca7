"""The pass as a whole: every answer as before, bit for bit, from fewer bytes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from onnx import TensorProto, checker, helper, numpy_helper

from optimizer.errors import PassFailed
from optimizer.model import Model
from optimizer.pass_ import Observations, Pass
from optimizer.passes import (
    ConvertFloat16,
    Level,
    QuantizeDynamic,
    QuantizeStatic,
    QuantizeWeights,
    SaveOptimized,
    SaveOrt,
)
from tests.optimizer.passes.compact_onnx.small_graphs import bits, compacted, finished, small_models, tensor_names
from tests.optimizer.passes.encoders import an_encoder, ids
from tests.optimizer.passes.nets import chain_net, residual_net
from tests.optimizer.passes.seeing import model_of, observed, proto_of, run_operators

BYTES = """
from tests.optimizer.passes.compact_onnx.test_compact import *
print(compacted(SaveOptimized().run(an_int8_net(), Observations())).digest)
"""


@cache
def an_int8_net() -> Model:
    """Return a chain of convolutions and a dense layer in static int8."""
    return QuantizeStatic().run(chain_net(), observed(chain_net()))


def optimized(model: Model) -> Model:
    """Return the model as ONNX Runtime optimizes it for any processor."""
    return SaveOptimized().run(model, Observations())


def a_recurrent_net(kind: str) -> Model:
    """Return an LSTM or a GRU over six steps of three numbers, and a dense layer."""
    gates, chance = {"LSTM": 4, "GRU": 3}[kind], np.random.default_rng(4)
    shapes = {"wi": (1, gates * 8, 3), "wr": (1, gates * 8, 8), "b": (1, gates * 16), "wd": (8, 2)}
    constants = [
        numpy_helper.from_array(chance.normal(size=size).astype(np.float32) * 0.5, name)
        for name, size in shapes.items()
    ]
    operations = [
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node(kind, ["steps", "wi", "wr", "b"], ["", "last"], hidden_size=8, direction="forward"),
        helper.make_node("Constant", [], ["axis"], value_ints=[0]),
        helper.make_node("Squeeze", ["last", "axis"], ["state"]),
        helper.make_node("MatMul", ["state", "wd"], ["y"]),
    ]
    return finished(operations, constants, x=[6, 3], y=[2])


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_models())
def test_any_small_graph_answers_bit_for_bit_from_fewer_bytes(plain: Model) -> None:
    result = compacted(plain)

    assert bits(result) == bits(plain)
    assert (result.inputs, result.outputs) == (plain.inputs, plain.outputs)
    assert result.size_bytes < 0.75 * plain.size_bytes
    assert run_operators(result) == run_operators(plain)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_models())
def test_what_is_short_is_a_valid_file_and_cannot_be_made_shorter(plain: Model) -> None:
    result = compacted(plain)

    checker.check_model(proto_of(result), full_check=True)
    with pytest.raises(PassFailed, match="nothing in net can be written shorter; leave this pass out"):
        compacted(result)


@pytest.mark.parametrize(
    "step", [QuantizeStatic(), QuantizeWeights(), ConvertFloat16(), SaveOptimized(), SaveOptimized(level=Level.ALL)]
)
@pytest.mark.parametrize("net", [chain_net, residual_net])
def test_what_other_passes_make_answers_bit_for_bit(step: Pass, net: Callable[[], Model]) -> None:
    plain = step.run(net(), observed(net()))

    result = compacted(plain)

    assert bits(result) == bits(plain)
    assert result.spec.quantized is plain.spec.quantized
    assert run_operators(result) == run_operators(plain)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("step", [None, QuantizeDynamic(), QuantizeWeights()], ids=str)
def test_recurrent_layers_answer_bit_for_bit(kind: str, step: Pass | None) -> None:
    plain = a_recurrent_net(kind)
    plain = plain if step is None else step.run(plain, Observations())

    assert bits(compacted(plain)) == bits(plain)


@pytest.mark.parametrize("whole_norm", [True, False])
@pytest.mark.parametrize("step", [None, QuantizeDynamic(), SaveOptimized()], ids=str)
def test_transformers_answer_bit_for_bit(step: Pass | None, *, whole_norm: bool) -> None:
    plain = an_encoder(whole_norm=whole_norm)
    plain = plain if step is None else step.run(plain, Observations())

    assert bits(compacted(plain), ids()) == bits(plain, ids())


def test_an_int8_file_of_integer_operators_is_the_shortest_and_answers_as_its_pairs_of_conversions() -> None:
    pairs = an_int8_net()
    integer = optimized(pairs)

    shortest = compacted(integer)

    assert bits(shortest) == bits(pairs)
    assert {"QLinearConv", "QGemm"} <= shortest.spec.operators
    assert shortest.size_bytes < 0.8 * compacted(pairs).size_bytes
    assert shortest.size_bytes < 0.8 * integer.size_bytes
    assert shortest.size_bytes < 0.6 * SaveOrt().run(pairs, Observations()).size_bytes


def test_a_loop_that_reads_what_lies_outside_of_it_answers_bit_for_bit() -> None:
    plain = a_loop()

    result = compacted(plain)

    assert bits(result) == bits(plain)
    assert len(tensor_names(result) - {"x", "y"}) == len(tensor_names(plain) - {"x", "y"})


def test_shapes_that_the_runtime_cannot_find_by_itself_stay_where_it_fuses_by_them() -> None:
    plain = a_net_fused_by_its_shapes()
    without = proto_of(plain)
    without.graph.ClearField("value_info")
    assert run_operators(model_of(without.SerializeToString())) != run_operators(plain)

    result = compacted(plain)

    assert run_operators(result) == run_operators(plain)
    assert [len(item.name) for item in proto_of(result).graph.value_info] == [1, 1]


def test_the_labels_that_a_user_gave_stay() -> None:
    proto = proto_of(chain_net())
    proto.metadata_props.add(key="labels", value="cat,dog")

    result = compacted(model_of(proto.SerializeToString()))

    assert {item.key: item.value for item in proto_of(result).metadata_props} == {"labels": "cat,dog"}


@pytest.mark.slow
def test_another_process_writes_the_same_bytes() -> None:
    told = subprocess.run([sys.executable, "-c", BYTES], capture_output=True, text=True, check=True).stdout

    assert told.strip() == compacted(optimized(an_int8_net())).digest


def a_loop() -> Model:
    """Return a loop of three turns over rows of four numbers, which reads a constant from outside."""
    inner = [
        helper.make_node("Mul", ["carried", "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "outside"], ["more"]),
        helper.make_node("Identity", ["goes_on"], ["still"]),
    ]
    body = helper.make_graph(
        inner,
        "body of the loop",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, ["batch", 4]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, ["batch", 4]),
        ],
        [numpy_helper.from_array(np.float32(0.5), "factor")],
    )
    constants = [
        numpy_helper.from_array(np.int64(3), "turns"),
        numpy_helper.from_array(np.bool_(True), "begins"),
        numpy_helper.from_array(np.arange(4, dtype=np.float32), "outside"),
    ]
    operations = [
        helper.make_node("Loop", ["turns", "begins", "x"], ["loop_output"], body=body),
        helper.make_node("Relu", ["loop_output"], ["y"]),
    ]
    return finished(operations, constants, x=[4], y=[4])


def a_net_fused_by_its_shapes() -> Model:
    """Return a sum with a normalization behind it: one operation, if the shapes of what is summed are known."""
    constants = [
        numpy_helper.from_array(np.ones(16, np.float32), "scale"),
        numpy_helper.from_array(np.zeros(16, np.float32), "shift"),
    ]
    # the way over floats hides the shape from ONNX Runtime's own inference
    operations = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Cast", ["sizes"], ["as_floats"], to=TensorProto.FLOAT),
        helper.make_node("Abs", ["as_floats"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["shape"], to=TensorProto.INT64),
        helper.make_node("Relu", ["x"], ["active"]),
        helper.make_node("Reshape", ["active", "shape"], ["first term"]),
        helper.make_node("Sigmoid", ["x"], ["gated"]),
        helper.make_node("Reshape", ["gated", "shape"], ["second term"]),
        helper.make_node("Add", ["first term", "second term"], ["sum"]),
        helper.make_node("LayerNormalization", ["sum", "scale", "shift"], ["y"], axis=-1),
    ]
    proto = proto_of(finished(operations, constants, x=[6, 16], y=[6, 16]))
    for name in ("first term", "second term"):
        proto.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 6, 16]))
    return model_of(proto.SerializeToString())
