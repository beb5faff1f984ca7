"""What each part leaves out, and what it must leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from optimizer.errors import PassFailed
from optimizer.model import Model
from optimizer.pass_ import Observations
from optimizer.passes import CompactOnnx, QuantizeDynamic, QuantizeStatic, SaveOptimized
from tests.optimizer.builders import an_onnx_mlp
from tests.optimizer.passes.compact_onnx.small_graphs import bits, compacted, finished, tensor_names
from tests.optimizer.passes.nets import chain_net
from tests.optimizer.passes.seeing import model_of, observed, proto_of


def constant(name: str, values: Any, kind: type[np.generic] = np.float32) -> Any:
    """Return an initializer."""
    return numpy_helper.from_array(np.asarray(values, kind), name)


def graph_of(model: Model) -> Any:
    """Return the outermost graph of the model after the pass."""
    return proto_of(compacted(model)).graph


def operation(model: Model, kind: str) -> Any:
    """Return the first operation of that kind of the model after the pass."""
    return next(entry for entry in graph_of(model).node if entry.op_type == kind)


def test_inputs_and_outputs_keep_their_names_and_all_else_has_one_letter() -> None:
    names = tensor_names(compacted(chain_net()))

    assert {"x", "y"} <= names
    assert {len(name) for name in names - {"x", "y"}} == {1}


def test_no_inner_tensor_takes_the_name_of_an_output() -> None:
    plain = finished(
        [helper.make_node("Relu", ["a"], ["a long name"]), helper.make_node("Exp", ["a long name"], ["b"])],
        [],
        a=[3],
        b=[3],
    )

    result = compacted(plain)

    assert len(tensor_names(result)) == 3
    assert bits(result) == bits(plain)


def test_what_is_named_most_often_gets_the_shortest_name() -> None:
    links = [f"a tensor of many {place}" for place in range(70)]
    chain = [
        helper.make_node("Mul", [given, "the factor of all"], [made])
        for given, made in zip(["x", *links], [*links, "y"], strict=True)
    ]

    graph = graph_of(finished(chain, [constant("the factor of all", 0.9)], x=[2], y=[2]))

    assert len(graph.initializer[0].name) == 1
    assert {len(entry.output[0]) for entry in graph.node} == {1, 2}


def test_names_of_operations_and_documentation_are_gone() -> None:
    proto = proto_of(chain_net())
    proto.doc_string = proto.graph.doc_string = proto.graph.node[0].doc_string = "how it was made"

    result = proto_of(compacted(model_of(proto.SerializeToString())))

    assert {entry.name + entry.doc_string for entry in result.graph.node} == {""}
    assert (result.doc_string, result.graph.doc_string, result.producer_name) == ("", "", "")
    assert list(result.graph.value_info) == []


def test_operator_sets_that_nothing_is_of_are_gone() -> None:
    proto = proto_of(chain_net())
    proto.opset_import.add(domain="ai.onnx.ml", version=3)

    result = proto_of(compacted(model_of(proto.SerializeToString())))

    assert [item.domain for item in result.opset_import] == [""]


def test_equal_constants_are_one_and_unread_ones_none() -> None:
    constants = [
        constant("first", [1, 2]),
        constant("second", [1, 2]),
        constant("of another shape", [[1, 2]]),
        constant("unread", [7, 8]),
    ]
    operations = [
        helper.make_node("Add", ["x", "first"], ["one"]),
        helper.make_node("Mul", ["one", "second"], ["two"]),
        helper.make_node("Sub", ["two", "of another shape"], ["y"]),
    ]

    graph = graph_of(finished(operations, constants, x=[2], y=[2]))

    assert sorted(tuple(item.dims) for item in graph.initializer) == [(1, 2), (2,)]
    assert graph.node[0].input[1] == graph.node[1].input[1]


def test_constants_of_equal_bytes_and_unlike_types_stay_two() -> None:
    constants = [constant("zeros", [0, 0], np.int32), constant("float zeros", [0, 0])]
    operations = [
        helper.make_node("Cast", ["zeros"], ["as floats"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "as floats"], ["one"]),
        helper.make_node("Add", ["one", "float zeros"], ["y"]),
    ]

    assert len(graph_of(finished(operations, constants, x=[2], y=[2])).initializer) == 2


def test_a_zero_and_a_minus_zero_are_not_one_constant() -> None:
    constants = [constant("zero", 0.0), constant("minus zero", -0.0)]
    operations = [
        helper.make_node("Div", ["x", "zero"], ["one"]),
        helper.make_node("Div", ["x", "minus zero"], ["two"]),
        helper.make_node("Concat", ["one", "two"], ["y"], axis=1),
    ]
    plain = finished(operations, constants, x=[2], y=[4])

    assert bits(compacted(plain)) == bits(plain)


@pytest.mark.parametrize(
    "attribute", [{"value_float": 2.0}, {"value_floats": [2.0, 3.0]}, {"value": constant("any", [2, 3])}], ids=str
)
def test_operations_that_give_a_constant_are_initializers(attribute: dict[str, Any]) -> None:
    operations = [
        helper.make_node("Constant", [], ["a constant"], **attribute),
        helper.make_node("Mul", ["x", "a constant"], ["y"]),
    ]
    plain = finished(operations, [], x=[2], y=[2])

    graph = graph_of(plain)

    assert [entry.op_type for entry in graph.node] == ["Mul"]
    assert bits(compacted(plain)) == bits(plain)


def test_a_constant_that_is_an_output_stays_an_operation() -> None:
    operations = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Constant", [], ["told"], value=constant("any", np.ones((1, 2)))),
    ]
    plain = finished(operations, [], x=[2], y=[2], told=[2])

    assert bits(compacted(plain)) == bits(plain)
    assert [entry.op_type for entry in graph_of(plain).node] == ["Relu", "Constant"]


def test_each_constant_is_written_in_the_fewest_bytes() -> None:
    proto = proto_of(an_onnx_mlp())
    one = next(item for item in proto.graph.initializer if item.name == "w1")
    one.CopyFrom(helper.make_tensor("w1", TensorProto.FLOAT, one.dims, numpy_helper.to_array(one).ravel().tolist()))
    proto.graph.node.insert(0, helper.make_node("Reshape", ["row", "shape"], ["again"]))
    proto.graph.node[1].input[0] = "again"
    proto.graph.initializer.append(constant("shape", [0, 12], np.int64))

    graph = graph_of(model_of(proto.SerializeToString()))

    assert [len(item.raw_data) for item in graph.initializer if item.data_type == TensorProto.FLOAT] == [
        768,
        64,
        192,
        12,
    ]
    assert [list(item.int64_data) for item in graph.initializer if item.data_type == TensorProto.INT64] == [[0, 12]]


@pytest.mark.parametrize(("values", "listed"), [([-1, 5], True), ([-1, -1], False), ([2**50, 2**60], False)])
def test_whole_numbers_are_listed_only_where_that_takes_fewer_bytes(values: list[int], *, listed: bool) -> None:
    operations = [
        helper.make_node("Cast", ["numbers"], ["as floats"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "as floats"], ["y"]),
    ]
    plain = finished(operations, [constant("numbers", values, np.int64)], x=[2], y=[2])

    (tensor,) = graph_of(plain).initializer

    assert (list(tensor.int64_data) == values, len(tensor.raw_data) == 16) == (listed, not listed)
    assert bits(compacted(plain)) == bits(plain)


def test_initializers_that_old_files_list_as_inputs_are_constants_alone() -> None:
    proto = proto_of(an_onnx_mlp(opset=8))
    proto.ir_version = 3
    for item in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(item.name, item.data_type, item.dims))
    plain = model_of(proto.SerializeToString())

    result = compacted(plain)

    assert [item.name for item in proto_of(result).graph.input] == ["row"]
    assert bits(result) == bits(plain)


def test_initializers_that_a_caller_may_override_stay_inputs_by_their_name() -> None:
    proto = proto_of(an_onnx_mlp())
    proto.graph.input.append(helper.make_tensor_value_info("b2", TensorProto.FLOAT, [3]))

    graph = graph_of(model_of(proto.SerializeToString()))

    assert [item.name for item in graph.input] == ["row", "b2"]
    assert "b2" in {item.name for item in graph.initializer}


def test_what_a_caller_may_override_stands_for_no_equal_constant() -> None:
    constants = [constant("mine", [1, 2]), constant("the caller's", [1, 2]), constant("mine too", [1, 2])]
    operations = [
        helper.make_node("Add", ["x", "mine"], ["one"]),
        helper.make_node("Mul", ["one", "the caller's"], ["two"]),
        helper.make_node("Add", ["two", "mine too"], ["y"]),
    ]
    proto = proto_of(finished(operations, constants, x=[2], y=[2]))
    proto.graph.input.append(helper.make_tensor_value_info("the caller's", TensorProto.FLOAT, [2]))

    graph = graph_of(model_of(proto.SerializeToString()))

    assert [entry.input[1] == "the caller's" for entry in graph.node] == [False, True, False]
    assert len(graph.initializer) == 2


def test_a_default_is_that_of_the_operator_set_of_the_file() -> None:
    operations = [
        helper.make_node("Softmax", ["x"], ["over all axes"], axis=1),
        helper.make_node("Softmax", ["over all axes"], ["y"], axis=-1),
    ]
    old, new = (finished(operations, [], opset=opset, x=[2, 3], y=[2, 3]) for opset in (11, 13))

    kept = [[[item.i for item in entry.attribute] for entry in graph_of(plain).node] for plain in (old, new)]

    assert kept == [[[], [-1]], [[1], []]]
    assert (bits(compacted(old)), bits(compacted(new))) == (bits(old), bits(new))


def test_attributes_that_say_what_holds_anyway_are_gone_and_others_stay() -> None:
    window = {"kernel_shape": [3, 3], "strides": [1, 2], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}
    operations = [
        helper.make_node("Conv", ["x", "kernel"], ["wide"], auto_pad="NOTSET", **window),
        helper.make_node("LeakyRelu", ["wide"], ["bent"], alpha=0.01),
        helper.make_node("LeakyRelu", ["bent"], ["y"], alpha=0.02),
    ]
    kernel = constant("kernel", np.random.default_rng(1).normal(size=(2, 3, 3, 3)))
    plain = finished(operations, [kernel], x=[3, 8, 9], y=[2, 6, 4])

    graph = graph_of(plain)

    assert [[item.name for item in entry.attribute] for entry in graph.node] == [["strides"], [], ["alpha"]]
    assert bits(compacted(plain)) == bits(plain)


def test_the_window_of_a_pool_stays() -> None:
    operations = [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])]

    pool = operation(finished(operations, [], x=[3, 4, 4], y=[3, 2, 2]), "MaxPool")

    assert sorted(item.name for item in pool.attribute) == ["kernel_shape", "strides"]


def test_zero_points_that_fusion_needs_stay_and_those_of_biases_go() -> None:
    plain = QuantizeStatic().run(chain_net(), observed(chain_net()))
    kinds = {item.name: item.data_type for item in graph_of(plain).initializer}

    read = [entry for entry in graph_of(plain).node if entry.op_type == "DequantizeLinear"]

    assert {len(entry.input) for entry in read if kinds.get(entry.input[0]) == TensorProto.INT32} == {2}
    assert {len(entry.input) for entry in read if kinds.get(entry.input[0]) != TensorProto.INT32} == {3}


def test_one_zero_stands_for_all_channels_of_a_convolution_of_integers() -> None:
    pairs = QuantizeStatic().run(chain_net(), observed(chain_net()))
    graph = graph_of(SaveOptimized().run(pairs, Observations()))
    sizes = {item.name: list(item.dims) for item in graph.initializer}

    layers = [entry for entry in graph.node if entry.op_type == "QLinearConv"]

    assert [sizes[entry.input[4]] for entry in layers] == [[16], [16], [24]]
    assert [sizes[entry.input[5]] for entry in layers] == [[], [], []]


def test_products_with_dynamic_integers_need_no_zero_points_of_zero() -> None:
    dynamic = QuantizeDynamic().run(an_onnx_mlp(), Observations())
    integer = SaveOptimized().run(dynamic, Observations())

    layer = operation(integer, "DynamicQuantizeMatMul")

    assert layer.input[3] == ""
    assert bits(compacted(integer)) == bits(dynamic)


def test_a_zero_point_that_is_not_zero_stays() -> None:
    constants = [
        constant("weights", [[1, 2], [3, 250]], np.uint8),
        constant("middle", 128, np.uint8),
        constant("one", 1, np.uint8),
    ]
    operations = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["levels", "step", "zero of levels"]),
        helper.make_node("MatMulInteger", ["levels", "weights", "zero of levels", "middle"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["y"], to=TensorProto.FLOAT),
    ]
    plain = finished(operations, constants, x=[2], y=[2])

    assert len(operation(plain, "MatMulInteger").input) == 4
    assert bits(compacted(plain)) == bits(plain)


def test_what_the_runtime_refuses_is_refused() -> None:
    proto = proto_of(chain_net())
    plain = chain_net()
    proto.graph.node[0].op_type = "NoSuchOperator"
    broken = Model(spec=plain.spec, content=proto.SerializeToString(), digest=plain.digest)

    with pytest.raises(PassFailed, match="compact-onnx: ONNX Runtime cannot save net"):
        CompactOnnx().apply(broken, Observations())
