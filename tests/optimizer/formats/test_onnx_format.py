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


def test_weights_outside_of_the_file_are_refused() -> None:
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    weight = proto.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")

    with pytest.raises(ModelError, match="external_data=False"):
        parse(proto.SerializeToString(), "mlp")


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
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    proto.graph.node[1].op_type = "Nonesuch"
    proto.graph.node[1].domain = "com.example"
    proto.opset_import.add(domain="com.example", version=1)
    model = Model.from_bytes(Format.ONNX, proto.SerializeToString(), name="odd")

    with pytest.raises(MeasureFailed, match="ONNX Runtime refuses"):
        open_session(model)


def test_a_name_that_is_no_text_is_refused() -> None:
    model = an_onnx_mlp()
    name = model.outputs[0].name.encode()

    with pytest.raises(ModelError, match="not UTF-8"):
        load(model.content.replace(name, b"\xff" * len(name)), "damaged")
