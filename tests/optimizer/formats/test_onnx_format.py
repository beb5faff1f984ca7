"""ONNX files that are refused, and running those that are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optimizer.errors import MeasureFailed, ModelError
from optimizer.formats.onnx_format import load, parse
from optimizer.formats.session import open_session
from optimizer.model import Format, Model
from tests.optimizer.builders import an_onnx_mlp, rows
from tests.optimizer.formats.broken_onnx import BROKEN, SEEN_BY_RUNNING, a_model, deep_ifs, unknown_microsoft_operator


def _a_copy_node(shape: list[int | str] | None, element: int = TensorProto.FLOAT) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "copy",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info("y", element, shape)],
    )
    proto: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(proto.SerializeToString())


def test_a_free_size_beyond_the_batch_is_refused_with_its_place() -> None:
    with pytest.raises(ModelError, match=r"'x' has no fixed size at place 2 of \(-1, 3, -1\)"):
        load(_a_copy_node(["batch", 3, "width"]), "copy")


def test_an_output_whose_declared_shape_is_vague_is_known_by_running() -> None:
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    for dim in proto.graph.output[0].type.tensor_type.shape.dim:
        dim.dim_param = "anything"

    spec = load(proto.SerializeToString(), "vague")

    assert [output.shape for output in spec.outputs] == [(-1, 3)]


def test_an_element_type_that_is_not_served_is_refused() -> None:
    with pytest.raises(ModelError, match="'x' has an element type"):
        load(_a_copy_node(["batch", 3], TensorProto.DOUBLE), "copy")


def test_a_graph_with_a_dangling_edge_is_refused() -> None:
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    proto.graph.node[0].input[0] = "nowhere"

    with pytest.raises(ModelError, match="not a valid ONNX model"):
        parse(proto.SerializeToString(), "mlp")


def test_a_model_that_holds_integer_arithmetic_is_seen_as_quantized() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ],
        "quantized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
            numpy_helper.from_array(np.array(3, np.uint8), "zero"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)

    assert load(proto.SerializeToString(), "q").quantized


def test_running_gives_what_the_weights_say() -> None:
    model, given = an_onnx_mlp(), rows((12,), count=5)
    weights = {
        item.name: numpy_helper.to_array(item) for item in onnx.load_model_from_string(model.content).graph.initializer
    }

    answers = open_session(model).run({"row": given})["scores"].astype(np.float32)

    expected = np.maximum(given @ weights["w1"] + weights["b1"], 0) @ weights["w2"] + weights["b2"]
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-4)


def test_rows_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(MeasureFailed, match="cannot run the model"):
        open_session(an_onnx_mlp()).run({"row": rows((5,), count=1)})


def test_a_model_that_the_runtime_refuses_is_one_line() -> None:
    model = Model.from_bytes(Format.ONNX, unknown_microsoft_operator(), name="odd")

    with pytest.raises(MeasureFailed, match=r"ONNX Runtime refuses the model \(.*Nonesuch"):
        open_session(model)


@pytest.mark.parametrize("damage", sorted(BROKEN.keys() - SEEN_BY_RUNNING))
def test_what_a_file_claims_is_checked_before_the_runtime_sees_it(damage: str) -> None:
    build, line = BROKEN[damage]

    with pytest.raises(ModelError, match=line):
        load(build(), "given")


@pytest.mark.parametrize(
    ("operator", "quantized"),
    [("QLinearMatMul", True), ("MatMulNBits", True), ("DynamicQuantizeLSTM", True), ("MatMul", False)],
)
def test_every_kind_of_integer_arithmetic_is_seen(operator: str, *, quantized: bool) -> None:
    domain = "" if operator in ("QLinearMatMul", "MatMul") else "com.microsoft"
    names = ["x"] * (8 if operator == "QLinearMatMul" else 2)
    entry = helper.make_node(operator, names, ["y"], domain=domain)
    content = a_model([entry], outputs=(("y", ["batch", 4]),), domains=("com.microsoft",))

    assert load(content, "given").quantized is quantized


def test_a_weight_that_is_no_number_is_named() -> None:
    weights = {"w": np.full((4, 4), np.nan, np.float32), "mask": np.full(4, -np.inf, np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "mask"], ["y"])]

    spec = load(a_model(nodes, outputs=(("y", ["batch", 4]),), constants=weights), "given")

    assert spec.not_finite == ("w",)


def test_an_infinite_weight_is_named_and_an_infinite_mask_is_not() -> None:
    weights = {"w": np.full((4, 4), np.inf, np.float32), "mask": np.full(4, -np.inf, np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "mask"], ["y"])]

    spec = load(a_model(nodes, outputs=(("y", ["batch", 4]),), constants=weights), "given")

    assert spec.not_finite == ("w",)


def test_weights_that_are_numbers_are_not_named() -> None:
    assert an_onnx_mlp().spec.not_finite == ()


def test_operators_inside_branches_are_known() -> None:
    assert load(deep_ifs(3), "given").operators == {"If", "Identity"}


def test_a_name_that_is_no_text_is_refused() -> None:
    model = an_onnx_mlp()
    name = model.outputs[0].name.encode()

    with pytest.raises(ModelError, match="not UTF-8"):
        load(model.content.replace(name, b"\xff" * len(name)), "damaged")
