"""Static quantization: what is integer, what stays float, and how near the answers stay."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from optimizer.errors import PassFailed
from optimizer.model import Model
from optimizer.pass_ import Observations, Wants
from optimizer.passes import Activation, CalibrationMethod, QuantizeStatic, Rounding, Weight
from optimizer.passes.quantize_static import quantized_layers
from tests.optimizer.builders import a_profile, an_onnx_mlp
from tests.optimizer.formats.onnx_graphs import graph, node, weights
from tests.optimizer.passes.nets import IMAGE, chain_net, residual_net
from tests.optimizer.passes.seeing import (
    answers,
    given_rows,
    model_of,
    observed,
    proto_of,
    relative_error,
    run_operators,
)

pytestmark = pytest.mark.slow


def _quantized(model: Model, step: QuantizeStatic | None = None) -> Model:
    return (step or QuantizeStatic()).run(model, observed(model))


def _one(layer: object, *, inputs: dict[str, tuple[int, ...]], **constants: np.typing.NDArray[np.float32]) -> Model:
    return model_of(graph(layer, inputs=inputs, constants=constants))


@pytest.mark.parametrize(
    "step",
    [
        QuantizeStatic(),
        QuantizeStatic(per_channel=False),
        QuantizeStatic(weight=Weight.QUINT8),
        QuantizeStatic(weight=Weight.QUINT8, per_channel=False),
        QuantizeStatic(activation=Activation.QINT8),
        QuantizeStatic(activation=Activation.QINT8, weight=Weight.QINT8, per_channel=False),
        QuantizeStatic(method=CalibrationMethod.MSE),
        QuantizeStatic(method=CalibrationMethod.ENTROPY),
        QuantizeStatic(method=CalibrationMethod.PERCENTILE),
        QuantizeStatic(bias_correction=True),
        QuantizeStatic(rounding=Rounding.ADAPTIVE),
        QuantizeStatic(rounding=Rounding.ADAPTIVE, bias_correction=True, weight=Weight.QUINT8, per_channel=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("net", [chain_net, residual_net, an_onnx_mlp])
def test_every_recipe_quantizes_every_layer_and_keeps_the_answers_near(net: type, step: QuantizeStatic) -> None:
    model = net()

    quantized = _quantized(model, step)

    heavy = sum(item.op_type in ("Conv", "Gemm") for item in proto_of(model).graph.node)
    assert quantized_layers(proto_of(quantized)) == heavy
    assert relative_error(quantized, model) < 0.08


def test_a_whole_net_runs_on_integers_from_one_conversion_to_one_conversion_back() -> None:
    operators = run_operators(_quantized(chain_net()))

    assert operators["QuantizeLinear"] == operators["DequantizeLinear"] == 1
    assert operators["QLinearConv"] == 3
    assert operators["QGemm"] == operators["QLinearGlobalAveragePool"] == 1
    assert not operators.keys() & {"Conv", "Gemm", "FusedConv", "Relu", "GlobalAveragePool"}


def test_a_net_with_branches_holds_no_float_island() -> None:
    operators = run_operators(_quantized(residual_net()))

    assert operators["QLinearConv"] == 3
    assert operators["QuantizeLinear"] == operators["DequantizeLinear"] == 1
    assert not operators.keys() & {"Conv", "FusedConv", "Add", "Sigmoid", "Concat"}


@pytest.mark.parametrize(
    ("step", "integer", "floats"),
    [
        (QuantizeStatic(first="c2"), 2, 1),
        (QuantizeStatic(last="r2"), 2, 2),
        (QuantizeStatic(first="c2", last="r2"), 1, 3),
        (QuantizeStatic(first="c2", last="c2"), 1, 3),
    ],
    ids=str,
)
def test_a_segment_costs_one_conversion_at_each_end(step: QuantizeStatic, integer: int, floats: int) -> None:
    operators = run_operators(_quantized(chain_net(), step))

    assert operators["QLinearConv"] == integer
    assert operators["Conv"] + operators["FusedConv"] + operators["Gemm"] + operators["QGemm"] - floats in (0, 1)
    assert operators["QuantizeLinear"] == operators["DequantizeLinear"] == 1


def test_a_relu_right_behind_the_segment_is_the_bound_of_its_range() -> None:
    at_layer, at_relu = (_quantized(chain_net(), QuantizeStatic(last=last)) for last in ("c2", "r2"))

    assert at_layer.digest == at_relu.digest


def test_layers_that_are_kept_stay_float_and_so_do_their_weights() -> None:
    quantized = proto_of(_quantized(chain_net(), QuantizeStatic(keep=("c2", "y"))))

    kinds = {item.name: item.data_type for item in quantized.graph.initializer}
    assert kinds["w2"] == kinds["w4"] == TensorProto.FLOAT
    assert quantized_layers(quantized) == 2


def test_what_comes_before_the_segment_is_read_in_float_by_what_is_outside() -> None:
    net = model_of(
        graph(
            node("Conv", "x w1", "c1"),
            node("Conv", "c1 w2", "c2"),
            node("Add", "c2 c1", "y"),
            inputs=IMAGE,
            constants={"w1": weights(6, 3, 1, 1), "w2": weights(6, 6, 1, 1) * 0},
        )
    )

    quantized = _quantized(net, QuantizeStatic(first="c2", last="c2"))

    assert relative_error(quantized, net) < 1e-6


def test_weights_shared_with_a_float_layer_stay_float_for_it() -> None:
    net = model_of(
        graph(
            node("Conv", "x w b", "c1"),
            node("Conv", "c1 w b", "y"),
            inputs=IMAGE,
            constants={"w": weights(3, 3, 1, 1), "b": weights(3)},
        )
    )

    operators = run_operators(_quantized(net, QuantizeStatic(first="y")))

    assert operators["DequantizeLinear"] == operators["QLinearConv"] == operators["Conv"] == 1


def test_weights_shared_by_two_integer_layers_are_in_the_file_once() -> None:
    net = model_of(
        graph(
            node("Conv", "x w b", "c1"),
            node("Conv", "c1 w b", "y"),
            inputs=IMAGE,
            constants={"w": weights(3, 3, 1, 1), "b": weights(3)},
        )
    )

    quantized = _quantized(net)

    assert sum(list(item.dims) == [3, 3, 1, 1] for item in proto_of(quantized).graph.initializer) == 1
    assert relative_error(quantized, net) < 0.03


@pytest.mark.parametrize(
    "net",
    [
        _one(node("Gemm", "x w b", "y", alpha=0.5, beta=3.0), inputs={"x": (1, 6)}, w=weights(6, 8), b=weights(8)),
        _one(node("Gemm", "x w b", "y", transB=1), inputs={"x": (1, 6)}, w=weights(8, 6), b=weights(8)),
        _one(node("Gemm", "x w b", "y", beta=2.0), inputs={"x": (1, 6)}, w=weights(6, 8), b=weights(1, 8)),
        _one(node("Gemm", "x w b", "y"), inputs={"x": (1, 6)}, w=weights(6, 8), b=weights(1)),
        _one(node("MatMul", "x w", "y"), inputs={"x": (1, 5, 6)}, w=weights(6, 8)),
        _one(node("MatMul", "x w", "y"), inputs={"x": (1, 5, 6)}, w=weights(1, 6, 8)),
        _one(
            node("Conv", "x w b", "y", pads=[1, 1], dilations=[2]),
            inputs={"x": (1, 6, 20)},
            w=weights(8, 6, 3),
            b=weights(8),
        ),
        _one(node("Conv", "x w", "y", group=6), inputs={"x": (1, 6, 9, 9)}, w=weights(12, 1, 3, 3)),
        _one(
            node("ConvTranspose", "x w b", "y", strides=[2, 2]),
            inputs={"x": (1, 6, 5, 5)},
            w=weights(6, 4, 3, 3),
            b=weights(4),
        ),
        _one(
            node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2]),
            inputs={"x": (1, 3, 9, 9)},
            w=weights(8, 3, 3, 3),
        ),
    ],
    ids=["scaled", "transposed-b", "row-bias", "one-bias", "tokens", "rank-3", "line", "depthwise", "up", "same"],
)
@pytest.mark.parametrize(
    "step",
    [QuantizeStatic(), QuantizeStatic(rounding=Rounding.ADAPTIVE, bias_correction=True)],
    ids=["plain", "corrected"],
)
def test_every_form_of_a_layer_keeps_its_answers(net: Model, step: QuantizeStatic) -> None:
    assert relative_error(_quantized(net, step), net) < 0.03


def test_constant_weights_on_the_left_of_a_product_keep_its_answers() -> None:
    net = model_of(
        graph(
            node("MatMul", "w x", "m"),
            node("MatMul", "m v", "y"),
            inputs={"x": (1, 6, 5)},
            constants={"w": weights(7, 6), "v": weights(5, 4)},
        )
    )

    assert relative_error(_quantized(net), net) < 0.05


def test_an_old_operator_set_is_brought_up() -> None:
    model = an_onnx_mlp(opset=11)

    quantized = _quantized(model)

    assert [item.version for item in proto_of(quantized).opset_import if item.domain == ""] == [17]
    assert relative_error(quantized, model) < 0.05


def test_two_inputs_are_quantized_each_in_its_range() -> None:
    net = model_of(
        graph(
            node("Gemm", "a wa", "ga"),
            node("Gemm", "b wb", "gb"),
            node("Add", "ga gb", "y"),
            inputs={"a": (1, 6), "b": (1, 4)},
            constants={"wa": weights(6, 8), "wb": weights(4, 8) * 100},
        )
    )

    assert relative_error(_quantized(net), net) < 0.03


def test_the_mean_of_an_image_is_pooled_on_integers() -> None:
    axes = np.asarray([2, 3], np.int64)
    net = model_of(
        graph(
            node("Conv", "x w1", "c"),
            node("ReduceMean", "c axes", "m", keepdims=0),
            node("Gemm", "m w2", "y"),
            inputs=IMAGE,
            constants={"w1": weights(8, 3, 3, 3), "axes": axes, "w2": weights(8, 4)},
        )
    )

    quantized = _quantized(net)

    assert run_operators(quantized)["QLinearGlobalAveragePool"] == 1
    assert run_operators(quantized)["QuantizeLinear"] == 1
    assert relative_error(quantized, net) < 0.05


@pytest.mark.parametrize("activation", list(Activation))
def test_a_relu_that_never_fires_still_gives_zero(activation: Activation) -> None:
    net = model_of(
        graph(
            node("Conv", "x w1 b1", "c"),
            node("Relu", "c", "y"),
            inputs=IMAGE,
            constants={"w1": weights(8, 3, 1, 1) * 0.01, "b1": np.full(8, -9, np.float32)},
        )
    )

    quantized = _quantized(net, QuantizeStatic(activation=activation))

    assert not answers(quantized, given_rows(net)).any()


def test_a_tensor_that_a_body_reads_keeps_its_name() -> None:
    from onnx import helper

    def body(name: str, tensor: str) -> object:
        given = [helper.make_tensor_value_info(f"{name}y", TensorProto.FLOAT, None)]
        return helper.make_graph([node("Mul", f"{tensor} {tensor}", f"{name}y")], name, [], given)

    net = model_of(
        graph(
            node("Conv", "x w1", "c"),
            node("Relu", "c", "r"),
            node("ReduceMax", "r", "peak", keepdims=0),
            node("Greater", "peak zero", "above"),
            node("If", "above", "i", then_branch=body("t", "c"), else_branch=body("e", "r")),
            node("Conv", "r w2", "d"),
            node("Add", "d i", "y"),
            inputs=IMAGE,
            constants={"w1": weights(4, 3, 1, 1), "w2": weights(4, 4, 1, 1), "zero": np.array(0, np.float32)},
        )
    )

    quantized = _quantized(net)

    assert quantized_layers(proto_of(quantized)) == 2
    assert relative_error(quantized, net) < 0.05


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (QuantizeStatic(first="nowhere"), "no operation gives 'nowhere'"),
        (QuantizeStatic(keep=("nowhere",)), "no operation gives 'nowhere'"),
        (QuantizeStatic(first="c3", last="c1"), "the segment ends before it begins"),
        (QuantizeStatic(first="p", last="f"), "no layer with weights lies between 'p' and 'f'"),
        (QuantizeStatic(keep=("c1", "c2", "c3", "y")), "no layer with weights lies between 'the start'"),
    ],
    ids=str,
)
def test_a_segment_that_cannot_be_is_one_clear_line(step: QuantizeStatic, words: str) -> None:
    with pytest.raises(PassFailed, match=words):
        _quantized(chain_net(), step)


def test_weights_that_are_not_finite_are_named() -> None:
    broken = weights(6, 8)
    broken[2, 3] = np.nan
    net = _one(node("Gemm", "x w", "y"), inputs={"x": (1, 6)}, w=broken)
    whole = _one(node("Gemm", "x w", "y"), inputs={"x": (1, 6)}, w=weights(6, 8))

    with pytest.raises(PassFailed, match="weights 'w' of the layer that gives 'y' hold values that are not finite"):
        QuantizeStatic().run(net, observed(whole))


def test_values_that_are_not_finite_are_named() -> None:
    model = an_onnx_mlp()
    seen = observed(model).statistics
    assert seen is not None
    tensors = {**seen.tensors, "hidden": dataclasses.replace(seen.tensors["hidden"], high=float("inf"))}

    with pytest.raises(PassFailed, match="tensor 'hidden' reached"):
        QuantizeStatic().run(model, Observations(statistics=dataclasses.replace(seen, tensors=tensors)))


def test_without_statistics_nothing_is_guessed() -> None:
    with pytest.raises(PassFailed, match="no statistics of mlp"):
        QuantizeStatic().run(an_onnx_mlp(), Observations())


def test_a_quantized_model_is_objected_to() -> None:
    quantized = _quantized(an_onnx_mlp())

    assert list(QuantizeStatic().objections(quantized.spec, a_profile())) == [
        "mlp is quantized already; quantize the float model"
    ]


@pytest.mark.parametrize(
    ("step", "field"),
    [
        (QuantizeStatic(rows=0), "rows=0"),
        (QuantizeStatic(percentile=40.0), "percentile=40.0"),
        (QuantizeStatic(percentile=100.5), "percentile=100.5"),
    ],
    ids=str,
)
def test_fields_out_of_range_are_objected_to(step: QuantizeStatic, field: str) -> None:
    assert [line.startswith(field) for line in step.objections(an_onnx_mlp().spec, a_profile())] == [True]


def test_only_adaptive_rounding_asks_for_rows() -> None:
    spec = an_onnx_mlp().spec

    assert QuantizeStatic(rows=300).observes(spec) == Wants(statistics_rows=300)
    assert QuantizeStatic(rounding=Rounding.ADAPTIVE, rows=300).observes(spec) == Wants(rows=64, statistics_rows=300)
    assert QuantizeStatic(rounding=Rounding.ADAPTIVE, rows=20).observes(spec) == Wants(rows=20, statistics_rows=20)


def test_weights_are_int8_with_one_scale_a_channel_and_biases_int32() -> None:
    graph_ = proto_of(_quantized(chain_net())).graph

    held = {item.name: numpy_helper.to_array(item) for item in graph_.initializer}
    assert held["w1_quantized"].dtype == np.int8
    assert held["w1_scale"].shape == (16,)
    assert held["b1_quantized"].dtype == np.int32


def test_padding_and_slicing_stay_on_integers() -> None:
    net = model_of(
        graph(
            node("Conv", "x w1", "c"),
            node("Relu", "c", "r"),
            node("Slice", "r begin end axes step", "s"),
            node("Pad", "s pads", "p"),
            node("Conv", "p w2", "y"),
            inputs=IMAGE,
            constants={
                "w1": weights(4, 3, 1, 1),
                "w2": weights(2, 8, 1, 1),
                "pads": np.asarray([0, 2, 0, 0, 0, 2, 0, 0], np.int64),
                **{name: np.asarray([value] * 2, np.int64) for name, value in (("begin", 0), ("end", 99), ("step", 2))},
                "axes": np.asarray([2, 3], np.int64),
            },
        )
    )

    quantized = _quantized(net)

    assert run_operators(quantized)["QuantizeLinear"] == run_operators(quantized)["DequantizeLinear"] == 1
    assert relative_error(quantized, net) < 0.05
