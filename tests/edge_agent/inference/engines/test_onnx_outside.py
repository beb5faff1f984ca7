"""Found without onnx: whether a model file would make its reader open another."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge_agent.inference.engines.onnx_outside import names_other_files
from tests.builders import TinyModel, onnx_bytes

WHOLE = onnx_bytes(TinyModel())


def outside() -> TensorProto:
    """Return a tensor that lies in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def a_graph(*nodes: Any, initializers: tuple[TensorProto, ...] = ()) -> Any:
    """Return a graph of the operations."""
    return helper.make_graph(list(nodes), "g", [], [], list(initializers))


def in_an_attribute() -> Any:
    return a_graph(helper.make_node("Constant", [], ["c"], value=outside()))


def in_an_inner_graph() -> Any:
    return a_graph(helper.make_node("If", ["b"], ["c"], then_branch=in_an_attribute(), else_branch=a_graph()))


def in_a_sparse_tensor() -> Any:
    graph = a_graph()
    graph.sparse_initializer.add().values.CopyFrom(outside())
    return graph


@pytest.mark.parametrize(
    "graph",
    [a_graph(initializers=(outside(),)), in_an_attribute(), in_an_inner_graph(), in_a_sparse_tensor()],
    ids=["initializer", "attribute", "inner graph", "sparse"],
)
def test_a_tensor_elsewhere_is_found_wherever_the_model_hides_it(graph: Any) -> None:
    assert names_other_files(helper.make_model(graph).SerializeToString())


def test_a_tensor_elsewhere_is_found_in_a_function_of_the_model() -> None:
    model = helper.make_model(a_graph())
    inner = helper.make_node("Constant", [], ["c"], value=outside())
    model.functions.append(helper.make_function("own", "f", [], ["c"], [inner], [helper.make_opsetid("", 17)]))

    assert names_other_files(model.SerializeToString())


def test_a_whole_model_names_no_other_file() -> None:
    assert not names_other_files(WHOLE)


def test_a_whole_model_may_hold_the_word() -> None:
    proto = onnx.load_model_from_string(WHOLE)
    proto.doc_string = "location"

    assert not names_other_files(proto.SerializeToString())


def test_a_damaged_model_that_holds_the_word_counts_as_naming_one() -> None:
    assert names_other_files(b"\x3a\xff\x01location")


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_answered(noise: bytes) -> None:
    assert names_other_files(noise) in (True, False)


def test_weights_of_any_size_are_passed_over_unread() -> None:
    big = numpy_helper.from_array(onnx.numpy_helper.to_array(TensorProto(data_type=1, dims=[0])), "w")
    big.raw_data = bytes(20_000_000)

    assert not names_other_files(helper.make_model(a_graph(initializers=(big,))).SerializeToString())
