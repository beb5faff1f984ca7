"""Dynamic int8, small weights and half precision: which layers they take, which they refuse, what they cost."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from optimizer.errors import PassFailed
from optimizer.formats.session import open_session
from optimizer.model import Model
from optimizer.pass_ import Observations, Pass
from optimizer.passes import ConvertFloat16, ExportOnnx, QuantizeDynamic, QuantizeWeights
from optimizer.passes.convert_float16 import check_opens
from optimizer.passes.transformer.graph import closed, open_graph
from tests.optimizer.builders import a_profile, a_torch_convnet, an_onnx_mlp, rows
from tests.optimizer.passes.encoders import WORDS, a_model, an_encoder, ids, kinds_as_run

_NOTHING = Observations()


def _kinds(model: Model) -> list[str]:
    return [each.op_type for each in onnx.load_model_from_string(model.content).graph.node]


def _answers(model: Model, given: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    (output,) = open_session(model).run(given).values()
    return output.astype(np.float64)


def _error(model: Model, original: Model, given: dict[str, NDArray[Any]]) -> float:
    """Return the root mean square error against the original, as a share of its root mean square."""
    exact = _answers(original, given)
    return float(np.sqrt(((_answers(model, given) - exact) ** 2).mean() / (exact**2).mean()))


def _a_recurrent_net(kind: str) -> Model:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(torch.nn, kind)(8, 32, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.cell(x)[0][:, -1]
            return answer

    torch.manual_seed(6)
    return ExportOnnx().run(Model.from_torch(Net(), inputs={"x": (2, 5, 8)}, name="net"), _NOTHING)


def _an_mlp_with_a_wide_output() -> Model:
    """Return an MLP whose first score is a hundred times as wide as the others."""
    graph = open_graph(an_onnx_mlp())
    last = graph.giver("scores")
    assert last is not None
    last.input[1] = graph.add_constant("wide", graph.values("w2") * np.array([100, 1, 1], np.float32))
    return closed(graph, an_onnx_mlp())


def _a_product_of_two_inputs() -> Model:
    square = helper.make_node("MatMul", ["x", "x"], ["y"])
    return a_model([square], [], x=[4, 4], y=[4, 4])


@pytest.mark.slow
def test_every_layer_of_an_encoder_and_its_table_become_int8() -> None:
    model = an_encoder()

    quantized = QuantizeDynamic().run(model, _NOTHING)

    assert _kinds(quantized).count("MatMulInteger") == 12
    tables = [item.dims[:] for item in onnx.load_model_from_string(quantized.content).graph.initializer]
    assert [WORDS, 1] in tables
    assert _error(QuantizeDynamic(per_token=("*",)).run(model, _NOTHING), model, ids()) < 0.15


@pytest.mark.slow
def test_layers_that_read_one_tensor_quantize_it_once() -> None:
    quantized = QuantizeDynamic().run(an_encoder(), _NOTHING)

    assert _kinds(quantized).count("DynamicQuantizeLinear") == 8  # query, key and value of two layers share theirs


@pytest.mark.slow
def test_kept_layers_stay_float() -> None:
    quantized = QuantizeDynamic(keep=("down0", "up1")).run(an_encoder(), _NOTHING)

    assert _kinds(quantized).count("MatMulInteger") == 10
    assert _kinds(quantized).count("MatMul") == 2 + 4


@pytest.mark.slow
@pytest.mark.parametrize("field", ["keep", "per_token", "per_block"])
def test_a_name_of_no_layer_is_refused_with_the_nearest(field: str) -> None:
    chosen: dict[str, Any] = {field: ("dwn1",)}

    with pytest.raises(PassFailed, match="no dense or LSTM layer of encoder gives 'dwn1'; the nearest is 'down1'"):
        QuantizeDynamic(**chosen).run(an_encoder(), _NOTHING)


@pytest.mark.slow
@pytest.mark.parametrize("finer", ["per_token", "per_block"])
def test_finer_scales_lose_less(finer: str) -> None:
    model, given = an_encoder(), ids()
    chosen: dict[str, Any] = {finer: ("*",)}

    errors = [
        _error(step.run(model, _NOTHING), model, given) for step in (QuantizeDynamic(), QuantizeDynamic(**chosen))
    ]

    assert errors[1] < 0.5 * errors[0]


@pytest.mark.slow
def test_a_scale_for_each_output_spares_the_narrow_ones() -> None:
    model, given = _an_mlp_with_a_wide_output(), {"row": rows((12,))}
    exact = _answers(model, given)

    errors = [
        np.abs(_answers(QuantizeDynamic(per_channel=each).run(model, _NOTHING), given) - exact)[:, 1:].max()
        for each in (False, True)
    ]

    assert errors[1] < 0.2 * errors[0]


@pytest.mark.slow
def test_a_layer_by_block_and_the_others_by_token_stand_in_one_file() -> None:
    quantized = QuantizeDynamic(per_block=("down0", "down1"), per_token=("*",)).run(an_encoder(), _NOTHING)

    assert (_kinds(quantized).count("MatMulNBits"), _kinds(quantized).count("MatMulInteger")) == (2, 10)


@pytest.mark.slow
def test_an_old_operator_set_reduces_by_an_attribute() -> None:
    model = an_onnx_mlp(opset=17)

    quantized = QuantizeDynamic(per_token=("*",)).run(model, _NOTHING)

    assert _error(quantized, model, {"row": rows((12,))}) < 0.05


@pytest.mark.slow
def test_an_lstm_is_quantized_and_can_be_kept() -> None:
    model, given = _a_recurrent_net("LSTM"), {"x": rows((5, 8), count=6)}
    (name,) = [
        each.output[0] for each in onnx.load_model_from_string(model.content).graph.node if each.op_type == "LSTM"
    ]

    quantized = QuantizeDynamic().run(model, _NOTHING)

    assert "DynamicQuantizeLSTM" in _kinds(quantized)
    assert _error(quantized, model, given) < 0.05
    with pytest.raises(PassFailed, match="no layer of net was quantized"):
        QuantizeDynamic(keep=(name,)).run(model, _NOTHING)


@pytest.mark.slow
def test_a_gru_that_would_stay_float_is_a_failure() -> None:
    model = _a_recurrent_net("GRU")

    assert list(QuantizeDynamic().objections(model.spec, a_profile())) == [
        "net has nothing to quantize: GRU stays float in ONNX Runtime"
    ]
    with pytest.raises(PassFailed, match="no layer of net was quantized"):
        QuantizeDynamic().run(model, _NOTHING)


def test_keeping_every_layer_is_objected_to() -> None:
    assert list(QuantizeDynamic(keep=("*",), block=7).objections(an_onnx_mlp().spec, a_profile())) == [
        "block=7 is none of 16, 32, 64, 128, 256",
        "keep=* leaves nothing to quantize; leave this pass out",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "size", "most"), [(8, 0.30, 0.02), (4, 0.19, 0.2)])
def test_weights_of_a_dense_net_shrink(bits: int, size: float, most: float) -> None:
    model = an_onnx_mlp(inputs=4000)

    small = QuantizeWeights(bits=bits).run(model, _NOTHING)

    assert small.size_bytes < size * model.size_bytes
    assert _kinds(small).count("MatMulNBits") == 2  # a Gemm is no layer to ONNX Runtime's own quantizer
    assert _error(small, model, {"row": rows((4000,))}) < most


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_weights_of_a_recurrent_layer_are_stored_small_and_computed_in_float(kind: str) -> None:
    model, given = _a_recurrent_net(kind), {"x": rows((5, 8), count=6)}

    small = QuantizeWeights().run(model, _NOTHING)

    assert kind in _kinds(small)
    assert small.size_bytes < 0.45 * model.size_bytes
    assert _error(small, model, given) < 0.02


@pytest.mark.slow
def test_a_convolution_s_weights_are_floats_again_once_the_file_is_loaded(tmp_path: Any) -> None:
    model = ExportOnnx().run(a_torch_convnet(), _NOTHING)

    small = QuantizeWeights().run(model, _NOTHING)

    assert _kinds(small).count("Cast") == 2
    assert "Cast" not in kinds_as_run(small, tmp_path)
    assert _error(small, model, {"image": rows((1, 8, 8))}) < 0.02


def test_bits_and_blocks_that_no_kernel_knows_are_objected_to() -> None:
    assert list(QuantizeWeights(bits=3, block=20).objections(an_onnx_mlp().spec, a_profile())) == [
        "bits=3 is neither 8 nor 4",
        "block=20 is none of 16, 32, 64, 128, 256",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("step", [QuantizeWeights(), ConvertFloat16()], ids=str)
def test_a_model_without_weights_is_a_failure(step: Pass) -> None:
    with pytest.raises(PassFailed, match="encoder"):
        step.run(_a_product_of_two_inputs(), _NOTHING)


@pytest.mark.slow
def test_half_precision_halves_the_file_and_keeps_inputs_and_outputs() -> None:
    model = an_onnx_mlp(inputs=4000)

    half = ConvertFloat16().run(model, _NOTHING)

    assert half.size_bytes < 0.51 * model.size_bytes
    assert (half.inputs, half.outputs) == (model.inputs, model.outputs)
    assert _error(half, model, {"row": rows((4000,))}) < 0.002


@pytest.mark.slow
def test_weights_in_half_precision_are_float_once_the_file_is_loaded(tmp_path: Any) -> None:
    half = ConvertFloat16().run(an_encoder(norm_first=True), _NOTHING)

    assert "Cast" in _kinds(half)
    assert "Cast" not in kinds_as_run(half, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("compute", [False, True])
def test_an_encoder_answers_in_half_precision(compute: bool) -> None:  # noqa: FBT001 (pytest gives it by name)
    model, given = an_encoder(), ids()

    half = ConvertFloat16(compute=compute).run(model, _NOTHING)

    assert _error(half, model, given) < 0.005


@pytest.mark.slow
def test_a_file_that_would_bring_the_runtime_down_is_a_failure_of_the_pass() -> None:
    refused = dataclasses.replace(an_encoder(), content=b"what no runtime opens")

    check_opens(an_encoder())
    with pytest.raises(PassFailed, match="cannot open encoder computing in half precision; leave compute out"):
        check_opens(refused)


def test_a_weight_that_half_precision_cannot_hold_stays_as_it_is() -> None:
    huge = helper.make_tensor("w", TensorProto.FLOAT, [4, 16], np.full(64, 1e5))
    small = helper.make_tensor("v", TensorProto.FLOAT, [16, 4], np.full(64, 1e-5))
    model = a_model(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "v"], ["y"])],
        [huge, small],
        x=[4],
        y=[4],
    )

    half = ConvertFloat16().run(model, _NOTHING)

    kinds = {item.name: item.data_type for item in onnx.load_model_from_string(half.content).graph.initializer}
    assert kinds == {"w": TensorProto.FLOAT, "v/half": TensorProto.FLOAT16}


@pytest.mark.slow
@pytest.mark.parametrize("step", [QuantizeWeights(), ConvertFloat16(), QuantizeDynamic()], ids=str)
def test_a_quantized_model_is_objected_to(step: Pass) -> None:
    quantized = QuantizeDynamic().run(an_onnx_mlp(), _NOTHING)

    objections = list(step.objections(quantized.spec, a_profile()))

    assert "mlp is quantized already" in objections[0]


def test_half_precision_is_objected_to_where_integers_alone_run() -> None:
    target = a_profile(full_int8=True)

    assert list(ConvertFloat16().objections(an_onnx_mlp().spec, target)) == [
        "test-board runs int8 alone; quantize instead"
    ]


def test_computing_in_half_precision_is_objected_to_where_the_target_does_not() -> None:
    assert list(ConvertFloat16(compute=True).objections(an_onnx_mlp().spec, a_profile())) == [
        "test-board does not compute half precision; leave compute out to halve the file alone"
    ]
