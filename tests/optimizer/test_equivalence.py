"""Conversions: those that hold are told by how much, and of those that do not the layer is named where it went wrong."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from optimizer.equivalence import check_equivalence, error_ratio, locate, sample_rows
from optimizer.errors import EquivalenceLost, PassFailed
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes.export_onnx import ExportOnnx
from optimizer.passes.export_tflite import ExportTflite
from optimizer.passes.simplify_onnx import SimplifyOnnx
from tests.optimizer.builders import a_torch_convnet, an_onnx_mlp
from tests.optimizer.formats.onnx_graphs import graph, node, weights


def a_conv_net() -> Model:
    """Return four layers over a small image, built with onnx alone: conv, conv, a residual sum, a dense layer."""
    content = graph(
        node("Conv", "image w1 b1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2 b2", "c2", pads=[1, 1, 1, 1]),
        node("Relu", "c2", "r2"),
        node("Add", "r1 r2", "sum"),
        node("Flatten", "sum", "flat"),
        node("Gemm", "flat w3 b3", "scores"),
        inputs={"image": (1, 3, 6, 5)},
        constants={
            "w1": weights(8, 3, 3, 3, seed=1),
            "b1": weights(8, seed=2),
            "w2": weights(8, 8, 3, 3, seed=3),
            "b2": weights(8, seed=4),
            "w3": weights(240, 5, seed=5),
            "b3": weights(5, seed=6),
        },
        outputs="scores",
    )
    return Model.from_bytes(Format.ONNX, content, name="net")


def damaged(model: Model, weight: str) -> Model:
    """Return the model with one weight ten per cent too large in its first row: a wrong conversion of one layer."""
    proto = onnx.load_model_from_string(model.content)
    entry = next(item for item in proto.graph.initializer if item.name == weight)
    values = numpy_helper.to_array(entry).copy()
    values[0] = values[0] * 1.1 + 0.1
    entry.CopyFrom(numpy_helper.from_array(values, weight))
    return Model.from_bytes(Format.ONNX, proto.SerializeToString(), name=model.name, adapter=model.adapter)


def reading(model: Model, weight: str) -> str:
    """Return the tensor that the operation gives which reads the weight."""
    proto = onnx.load_model_from_string(model.content)
    return next(str(entry.output[0]) for entry in proto.graph.node if weight in entry.input)


@cache
def exported_convnet() -> Model:
    """Return the torch convnet as the exporter writes it."""
    return ExportOnnx().run(a_torch_convnet(), Observations())


def test_a_model_is_equal_to_itself() -> None:
    held = check_equivalence(a_conv_net(), a_conv_net(), sample_rows(a_conv_net(), count=3))

    assert (held.error_ratio, held.rows, held.output) == (0.0, 3, "scores")


@pytest.mark.parametrize(("weight", "layer"), [("w1", "c1"), ("w2", "c2"), ("w3", "scores")])
def test_a_wrong_onnx_layer_is_named(weight: str, layer: str) -> None:
    before = a_conv_net()

    with pytest.raises(EquivalenceLost, match=f"the first tensor that differs is '{layer}'") as lost:
        check_equivalence(before, damaged(before, weight), sample_rows(before))

    assert (lost.value.tensor, lost.value.output) == (layer, "scores")
    assert lost.value.error_ratio > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_wrong_layer_of_an_export_from_torch_is_named(place: int) -> None:
    before, after = a_torch_convnet(), exported_convnet()
    proto = onnx.load_model_from_string(after.content)
    weight = [item.name for item in proto.graph.initializer if len(item.dims) >= 2][place]

    with pytest.raises(EquivalenceLost) as lost:
        check_equivalence(before, damaged(after, weight), sample_rows(before))

    # the first convolution has swallowed its normalization: the values agree in name again after the activation
    assert lost.value.tensor == {"conv2d_1": "conv2d_1", "output": "linear"}.get(reading(after, weight), "relu")
    assert lost.value.output == "output"


@pytest.mark.slow
def test_an_export_from_torch_holds() -> None:
    held = check_equivalence(a_torch_convnet(), exported_convnet(), sample_rows(a_torch_convnet()))

    assert held.error_ratio < 1e-5


@pytest.mark.slow
def test_a_simplified_model_holds() -> None:
    simple = SimplifyOnnx().run(exported_convnet(), Observations())

    assert check_equivalence(exported_convnet(), simple, sample_rows(exported_convnet())).error_ratio < 1e-5


def test_a_tflite_file_in_another_layout_holds() -> None:
    after = ExportTflite().run(a_conv_net(), Observations())

    held = check_equivalence(a_conv_net(), after, sample_rows(a_conv_net()))

    assert after.inputs[0].shape == (-1, 6, 5, 3)
    assert held.error_ratio < 1e-5


@pytest.mark.parametrize(("weight", "layer"), [("w1", "r1"), ("w2", "r2"), ("w3", "scores")])
def test_a_wrong_tflite_layer_is_named(weight: str, layer: str) -> None:
    before = a_conv_net()
    after = ExportTflite().run(damaged(before, weight), Observations())

    with pytest.raises(EquivalenceLost) as lost:
        check_equivalence(before, after, sample_rows(before))

    assert lost.value.tensor == layer


def test_a_lost_adapter_is_a_lost_equivalence() -> None:
    square = graph(
        node("Conv", "image w", "c"),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "scores"),
        inputs={"image": (1, 4, 4, 4)},
        constants={"w": weights(5, 4, 1, 1)},
        outputs="scores",
    )
    before = Model.from_bytes(Format.ONNX, square, name="net")
    after = dataclasses.replace(ExportTflite().run(before, Observations()), adapter=())

    with pytest.raises(EquivalenceLost):
        check_equivalence(before, after, sample_rows(before))


def test_tensors_that_a_conversion_changed_and_changed_back_are_not_blamed() -> None:
    before, proto = a_conv_net(), onnx.load_model_from_string(a_conv_net().content)
    known: dict[str, Any] = {item.name: item for item in proto.graph.initializer}
    for name, factor in (("w1", 2.0), ("b1", 2.0)):
        known[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(known[name]) * np.float32(factor), name))
    half = helper.make_node("Mul", ["r1", "half"], ["r1_half"])
    proto.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    places = [place for place, entry in enumerate(proto.graph.node) if "r1" in entry.input]
    for place in places:
        proto.graph.node[place].input[0] = "r1_half"
    proto.graph.node.insert(places[0], half)
    scaled = Model.from_bytes(Format.ONNX, proto.SerializeToString(), name="net")

    assert check_equivalence(before, scaled, sample_rows(before)).error_ratio < 1e-5
    with pytest.raises(EquivalenceLost) as lost:
        check_equivalence(before, damaged(scaled, "w3"), sample_rows(before))
    assert lost.value.tensor == "scores"


def test_what_does_not_lead_to_the_wrong_output_is_not_blamed() -> None:
    before = _two_heads()
    after = damaged(before, "right")

    with pytest.raises(EquivalenceLost) as lost:
        check_equivalence(before, after, sample_rows(before))

    assert (lost.value.output, lost.value.tensor) == ("y2", "y2")
    assert locate(before, after, sample_rows(before, count=1), [0], 1e-4) is None


def test_an_answer_that_is_no_number_is_a_lost_equivalence() -> None:
    before = an_onnx_mlp()
    proto = onnx.load_model_from_string(before.content)
    proto.graph.initializer[3].raw_data = np.full(3, np.nan, np.float32).tobytes()
    after = Model.from_bytes(Format.ONNX, proto.SerializeToString(), name="mlp")

    with pytest.raises(PassFailed, match="output 'scores' by inf"):
        check_equivalence(before, after, sample_rows(before))


def test_a_fixed_batch_is_compared_row_by_row() -> None:
    before, after = an_onnx_mlp(), an_onnx_mlp(batch=4)

    assert check_equivalence(before, after, sample_rows(before, count=6)).rows == 6
    with pytest.raises(EquivalenceLost) as lost:
        check_equivalence(before, damaged(after, "w1"), sample_rows(before, count=6))
    assert lost.value.tensor == "hidden"


def test_the_tolerance_decides() -> None:
    before = a_conv_net()
    after = damaged(before, "w2")

    assert check_equivalence(before, after, sample_rows(before), tolerance=10.0).tolerance == 10.0


@pytest.mark.parametrize(
    ("wanted", "given", "error"),
    [
        ([0.0, 2.0], [0.0, 1.0], 0.5),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([np.inf, 1.0], [np.inf, 1.0], 0.0),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf),
        ([1.0, 1.0], [1.0, np.nan], np.inf),
    ],
)
def test_an_error_is_a_share_of_the_largest_value(wanted: list[float], given: list[float], error: float) -> None:
    assert error_ratio(np.array(wanted), np.array(given)) == error


def test_other_shapes_differ_without_bound() -> None:
    assert error_ratio(np.zeros((2, 3)), np.zeros((3, 2))) == np.inf


def _two_heads() -> Model:
    content = graph(
        node("Gemm", "x left", "y1"),
        node("Gemm", "x right", "y2"),
        inputs={"x": (1, 4)},
        constants={"left": weights(4, 3, seed=1), "right": weights(4, 2, seed=2)},
        outputs="y1 y2",
    )
    return Model.from_bytes(Format.ONNX, content, name="heads")
