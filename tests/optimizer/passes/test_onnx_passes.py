"""What each ONNX pass does, beyond the laws that all passes share."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optimizer.errors import PassFailed
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes import (
    ExportOnnx,
    QuantizeDynamic,
    SimplifyOnnx,
)
from optimizer.served import serve
from tests.optimizer.builders import a_profile, a_torch_convnet, an_onnx_mlp, rows

_NOTHING = Observations()


def _proto(model: Model) -> Any:
    return onnx.load_model_from_string(model.content)


def _a_product_of_two_inputs() -> Model:
    """Return a model whose only MatMul has no weights: nothing that a weight quantizer can take."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["y"])],
        "product",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in ("a", "b")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 4])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Model.from_bytes(Format.ONNX, proto.SerializeToString(), name="product")


def _a_padded_mlp() -> Model:
    """Return an MLP with a needless node and constant arithmetic before it."""
    proto = _proto(an_onnx_mlp())
    graph = proto.graph
    graph.initializer.append(numpy_helper.from_array(np.array([1, 2], np.int64), "unused"))
    graph.node.insert(0, helper.make_node("Identity", ["row"], ["same"]))
    graph.node[1].input[0] = "same"
    return Model.from_bytes(Format.ONNX, proto.SerializeToString(), name="padded")


@pytest.mark.slow
@pytest.mark.parametrize("opset", [17, 18, 20])
def test_export_writes_the_operator_set_and_answers_as_the_program(opset: int) -> None:
    program, given = a_torch_convnet(), {"image": rows((1, 8, 8), count=5)}

    exported = ExportOnnx(opset=opset).run(program, _NOTHING)

    assert [item.version for item in _proto(exported).opset_import if item.domain == ""] == [opset]
    exact, same = (serve(model, program, ()).infer(given)["output"] for model in (program, exported))
    np.testing.assert_allclose(same, exact, atol=1e-5)


@pytest.mark.slow
def test_an_exported_file_keeps_its_weights_inside_and_its_batch_free() -> None:
    exported = ExportOnnx().run(a_torch_convnet(), _NOTHING)

    assert exported.inputs[0].shape == (-1, 1, 8, 8)
    assert _proto(exported).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert exported.size_bytes > 4 * 256 * 10


def test_an_operator_set_that_is_out_of_range_is_objected_to() -> None:
    assert list(ExportOnnx(opset=9).objections(an_onnx_mlp().spec, a_profile())) == ["opset=9 is not between 17 and 21"]


@pytest.mark.slow
def test_simplifying_removes_what_computes_nothing() -> None:
    simple = SimplifyOnnx().run(_a_padded_mlp(), _NOTHING)

    assert simple.spec.operators == {"Gemm", "Relu"}
    assert "unused" not in [item.name for item in _proto(simple).graph.initializer]


@pytest.mark.slow
def test_simplifying_brings_in_no_operator_of_one_vendor() -> None:
    simple = SimplifyOnnx().run(ExportOnnx().run(a_torch_convnet(), _NOTHING), _NOTHING)

    assert {node.domain for node in _proto(simple).graph.node} == {""}


@pytest.mark.slow
def test_a_quantizer_that_changes_no_layer_is_a_failure() -> None:
    with pytest.raises(PassFailed, match="no layer of product was quantized"):
        QuantizeDynamic().run(_a_product_of_two_inputs(), _NOTHING)


@pytest.mark.slow
def test_dynamic_int8_shrinks_the_weights_and_needs_no_rows() -> None:
    model = an_onnx_mlp(inputs=400)

    quantized = QuantizeDynamic().run(model, _NOTHING)

    assert quantized.size_bytes < 0.5 * model.size_bytes
    assert "MatMulInteger" in quantized.spec.operators
