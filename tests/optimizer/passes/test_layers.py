"""What segments and layers are named by."""

from __future__ import annotations

from optimizer.passes.layers import operations, quantizable_layers
from tests.optimizer.builders import an_onnx_mlp
from tests.optimizer.formats.onnx_graphs import graph, node, weights
from tests.optimizer.passes.nets import chain_net
from tests.optimizer.passes.seeing import model_of


def test_layers_are_the_heavy_operations_with_weights_in_the_files_order() -> None:
    assert quantizable_layers(chain_net()) == ("c1", "c2", "c3", "y")


def test_every_operation_is_named_by_the_tensor_that_it_gives() -> None:
    assert operations(an_onnx_mlp()) == ("hidden", "active", "scores")


def test_a_product_of_two_computed_tensors_is_no_layer() -> None:
    product = graph(
        node("MatMul", "x x", "p"), node("MatMul", "p w", "y"), inputs={"x": (1, 4, 4)}, constants={"w": weights(4, 4)}
    )

    assert quantizable_layers(model_of(product)) == ("y",)


def test_weights_from_a_constant_operation_count_and_the_constant_does_not() -> None:
    from onnx import numpy_helper

    constant = node("Constant", "", "w", value=numpy_helper.from_array(weights(4, 4), "w"))
    model = model_of(graph(constant, node("MatMul", "x w", "y"), inputs={"x": (1, 4)}))

    assert quantizable_layers(model) == ("y",)
    assert operations(model) == ("y",)
