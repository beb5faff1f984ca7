"""A graph being rewritten keeps its order, its names apart, and nothing that nobody reads."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from optimizer.model import Model
from optimizer.passes.layers import given
from optimizer.passes.transformer.dense import dense_layers, narrowing_layers
from optimizer.passes.transformer.graph import closed, open_graph
from tests.optimizer.builders import an_onnx_mlp
from tests.optimizer.passes.encoders import a_model, an_encoder


def _a_constant_as_an_operation() -> Model:
    value = numpy_helper.from_array(np.array([[1, 2], [3, 4]], np.float32), "held")
    operations = [helper.make_node("Constant", [], ["w"], value=value), helper.make_node("MatMul", ["x", "w"], ["y"])]
    return a_model(operations, [], x=[2], y=[2])


def _a_layer_read_by_a_branch() -> Model:
    """Return a model whose nested graph reads an inner tensor of the outer one."""
    branches = {
        f"{word}_branch": helper.make_graph(
            [helper.make_node(kind, ["h"], [word])],
            word,
            [],
            [helper.make_tensor_value_info(word, TensorProto.FLOAT, None)],
        )
        for word, kind in (("then", "Relu"), ("else", "Neg"))
    }
    constants = [numpy_helper.from_array(np.eye(2, dtype=np.float32), "w"), numpy_helper.from_array(np.True_, "yes")]
    operations = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("If", ["yes"], ["y"], **branches)]
    return a_model(operations, constants, x=[2], y=[2])


def test_opening_and_closing_keeps_the_order_and_the_tensors() -> None:
    model = an_encoder()

    same = closed(open_graph(model), model)

    assert [given(each) for each in open_graph(same).operations] == [
        given(each) for each in open_graph(model).operations
    ]
    assert same.spec == model.spec


def test_a_new_operation_stands_just_before_its_first_reader() -> None:
    model = an_onnx_mlp()
    graph = open_graph(model)
    second = graph.readers("active")[0]
    second.input[0] = graph.add("Neg", ["active"], "negative")

    names = [given(each) for each in open_graph(closed(graph, model)).operations]

    assert names == ["hidden", "active", "negative", "scores"]


def test_constants_that_are_operations_are_read_as_constants() -> None:
    graph = open_graph(_a_constant_as_an_operation())

    (layer,) = dense_layers(graph)

    np.testing.assert_array_equal(layer.weights, [[1, 2], [3, 4]])
    assert [each.op_type for each in graph.operations] == ["MatMul"]


def test_a_name_that_is_taken_gets_a_number() -> None:
    graph = open_graph(an_onnx_mlp())

    assert [graph.fresh("hidden"), graph.fresh("hidden"), graph.fresh("new")] == ["hidden/2", "hidden/3", "new"]


def test_a_constant_that_nobody_reads_any_more_leaves_the_file() -> None:
    model = an_onnx_mlp(inputs=400)
    graph = open_graph(model)
    first = graph.giver("hidden")
    assert first is not None
    first.input[1] = graph.add_constant("small", np.zeros((400, 16), np.float32))

    assert closed(graph, model).size_bytes == pytest.approx(model.size_bytes, abs=100)


def test_what_a_nested_graph_reads_has_a_use_beside_its_readers() -> None:
    graph = open_graph(_a_layer_read_by_a_branch())

    assert (graph.is_read_elsewhere("h"), graph.is_read_elsewhere("y"), graph.is_read_elsewhere("x")) == (
        True,
        True,
        False,
    )


def test_a_new_operation_that_only_a_nested_graph_reads_stands_before_it() -> None:
    model = _a_layer_read_by_a_branch()
    graph = open_graph(model)
    layer = graph.giver("h")
    assert layer is not None
    layer.output[0] = "before"
    graph.add("Neg", ["before"], "h")

    kinds = [each.op_type for each in open_graph(closed(graph, model)).operations]

    assert kinds == ["MatMul", "Neg", "If"]


def test_the_narrowing_layers_of_an_encoder_end_its_feed_forward_parts() -> None:
    assert narrowing_layers(an_encoder()) == ("down0", "down1")


def test_a_product_of_two_activations_is_no_layer() -> None:
    names = [layer.name for layer in dense_layers(open_graph(an_encoder()))]

    assert names == [f"{word}{at}" for at in (0, 1) for word in ("query", "key", "value", "joined", "up", "down")]
