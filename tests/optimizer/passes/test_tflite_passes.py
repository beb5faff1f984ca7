"""ONNX to TFLite float to full int8: whole networks, their answers, and what stays promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from contracts.preprocessing import Step, StepKind
from contracts.tensors import ElementType
from optimizer.calibration.collect import collect
from optimizer.errors import PassFailed
from optimizer.formats.tflite_emitter import emit
from optimizer.formats.tflite_emitter.forms import RecurrentForm
from optimizer.formats.tflite_emitter.writer import TfliteWriter
from optimizer.formats.tflite_format import float_tensors
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes import CATALOG, ExportTflite, Precision, QuantizeTflite
from optimizer.served import serve
from tests.optimizer.builders import a_profile
from tests.optimizer.formats.networks import exported, line_net, mobile_net, residual_net, table_net
from tests.optimizer.formats.onnx_graphs import graph, node, operators, weights

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

NETWORKS: dict[str, tuple[Callable[[], torch.nn.Module], tuple[int, ...]]] = {
    "mobile": (mobile_net, (1, 3, 32, 32)),
    "residual": (residual_net, (1, 3, 64, 64)),
    "line": (line_net, (1, 6, 64)),
    "table": (table_net, (1, 20)),
}


def a_network(name: str) -> Model:
    """Return the ONNX model of a seeded network."""
    import torch

    torch.manual_seed(3)
    build, shape = NETWORKS[name]
    return Model.from_bytes(Format.ONNX, exported(build(), shape), name=name)


def a_small_onnx() -> Model:
    """Return image (n, 3, 6, 5) to five scores."""
    parts = (
        node("Conv", "image w", "c"),
        node("Relu", "c", "r"),
        node("GlobalAveragePool", "r", "p"),
        node("Flatten", "p", "scores"),
    )
    content = graph(*parts, inputs={"image": (1, 3, 6, 5)}, constants={"w": weights(5, 3, 3, 3)}, outputs="scores")
    return Model.from_bytes(Format.ONNX, content, name="small")


def images(model: Model, count: int = 40) -> Observations:
    """Return what the small model shows of channel-last calibration rows."""
    rows = np.random.default_rng(1).normal(size=(count, 6, 5, 3)).astype(np.float32)
    return Observations(statistics=collect(model, [{"image": rows}]))


def quantized(model: Model, rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Model:
    """Return the full int8 TFLite file of an ONNX model, calibrated on rows in its own layout."""
    exported_model = ExportTflite().run(model, Observations())
    turned = np.moveaxis(rows, 1, -1) if exported_model.adapter else rows
    batch = {exported_model.inputs[0].name: np.ascontiguousarray(turned)}
    seen = Observations(statistics=collect(exported_model, [batch]))
    return QuantizeTflite().run(exported_model, seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_converts_without_a_needless_transpose(name: str) -> None:
    model = a_network(name)

    result = emit(model.content)
    ExportTflite().run(model, Observations())

    assert operators(result)["TRANSPOSE"] == 0
    assert operators(result)["MUL"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_becomes_full_int8_and_stays_near_its_original(name: str) -> None:
    model = a_network(name)
    rows = np.random.default_rng(0).normal(size=(60, *NETWORKS[name][1][1:])).astype(np.float32)

    result = quantized(model, rows)
    expected = serve(model, model, ()).infer({"image": rows})["scores"]
    actual = serve(result, model, ()).infer({"image": rows})["scores"]

    assert float_tensors(result.content) == ()
    assert {spec.element for spec in (*result.inputs, *result.outputs)} == {ElementType.INT8}
    assert np.abs(expected - actual).max() < 0.05 * np.abs(expected).max()


@pytest.mark.slow
def test_digits_keep_their_accuracy_in_full_int8() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows, labels = digits.images[:, None].astype(np.float32), digits.target
    model = Model.from_bytes(Format.ONNX, a_trained_digits_network(rows[:1200], labels[:1200]), name="digits")
    scale = (Step(kind=StepKind.SCALE, tensor="image", factor=(0.0625,)),)

    result = quantized(model, rows[:150] / 16)
    held = {"image": rows[1200:]}
    before = (serve(model, model, scale).infer(held)["scores"].argmax(axis=1) == labels[1200:]).mean()
    after = (serve(result, model, scale).infer(held)["scores"].argmax(axis=1) == labels[1200:]).mean()

    assert before > 0.9
    assert after > before - 0.01
    assert result.size_bytes < 0.55 * model.size_bytes


def test_an_image_model_takes_channel_last_and_says_so() -> None:
    result = ExportTflite().run(a_small_onnx(), Observations())

    assert result.adapter == (Step(kind=StepKind.CHANNEL_LAST, tensor="image"),)
    assert result.inputs[0].shape == (-1, 6, 5, 3)
    assert [spec.name for spec in (*result.inputs, *result.outputs)] == ["image", "scores"]


def test_a_table_model_takes_its_rows_as_they_are() -> None:
    content = graph(node("Gemm", "row w", "y"), inputs={"row": (1, 4)}, constants={"w": weights(4, 3)})

    result = ExportTflite().run(Model.from_bytes(Format.ONNX, content, name="table"), Observations())

    assert result.adapter == ()


def test_export_objects_to_operators_before_any_work() -> None:
    content = graph(node("GridSample", "x g", "y"), inputs={"x": (1, 3, 4, 4), "g": (1, 2, 2, 2)})
    spec = Model.from_bytes(Format.ONNX, content, name="odd").spec

    (objection,) = ExportTflite().objections(spec, a_profile())

    assert "operators GridSample (Resize) can't be written" in objection


def test_every_form_that_the_emitter_knows_can_be_asked_for_and_no_other() -> None:
    forms = [*RecurrentForm, "rolled"]

    objections = [list(ExportTflite(recurrent=form).objections(a_small_onnx().spec, a_profile())) for form in forms]

    assert [len(found) for found in objections] == [0] * len(RecurrentForm) + [1]


def test_quantizing_twice_is_objected_to() -> None:
    exported_model = ExportTflite().run(a_small_onnx(), Observations())
    result = QuantizeTflite().run(exported_model, images(exported_model))

    (objection,) = QuantizeTflite().objections(result.spec, a_profile())

    assert "quantized already" in objection


def test_weights_in_half_precision_are_objected_to_before_any_work() -> None:
    half = QuantizeTflite(precision=Precision.FP16).run(
        ExportTflite().run(a_small_onnx(), Observations()), Observations()
    )

    (objection,) = QuantizeTflite().objections(half.spec, a_profile())

    assert objection == "the model's weights are in half precision already; give the float model"


def test_equal_rows_give_equal_bytes() -> None:
    exported_model = ExportTflite().run(a_small_onnx(), Observations())

    first = QuantizeTflite().run(exported_model, images(exported_model))
    again = QuantizeTflite().run(exported_model, images(exported_model))

    assert first.digest == again.digest


def test_ranges_cover_every_calibration_row_wherever_it_stands() -> None:
    exported_model = ExportTflite().run(a_small_onnx(), Observations())
    rows = np.zeros((50, 6, 5, 3), dtype=np.float32)
    rows[20] = 10.0
    rows[40] = -10.0

    seen = Observations(statistics=collect(exported_model, [{"image": rows}]))
    result = QuantizeTflite().run(exported_model, seen)

    quantization = result.inputs[0].quantization
    assert quantization is not None
    assert quantization.scale * 255 == pytest.approx(20.0, rel=0.02)


def test_a_tensor_that_stays_float_is_named() -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (1, 4)), writer.add_tensor("clipped", (1, 4))
    writer.add_operator("RELU6", (source,), (result,))
    model = Model.from_bytes(Format.TFLITE, writer.to_bytes([("x", source)], [("clipped", result)]), name="clips")

    seen = Observations(statistics=collect(model, [{"x": np.ones((4, 4), dtype=np.float32)}]))

    with pytest.raises(PassFailed, match=r"stay float .*clipped.*RELU6"):
        QuantizeTflite().run(model, seen)


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    exported_model = ExportTflite().run(a_small_onnx(), Observations())
    QuantizeTflite().run(exported_model, images(exported_model))

    assert capfd.readouterr() == ("", "")


def test_both_passes_are_in_the_catalog() -> None:
    names = {kind.name for kind in CATALOG}

    assert names >= {"export-tflite", "quantize-tflite"}


def a_trained_digits_network(
    rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]], labels: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> bytes:
    """Return the ONNX file of a small CNN trained for a few seconds on scans of 0..16."""
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 12, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(12, 24, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(96, 10),
    )
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    inputs, targets = torch.from_numpy(rows / 16), torch.from_numpy(labels)
    for step in range(240):
        picked = torch.arange(step * 60, step * 60 + 60) % len(inputs)
        loss = torch.nn.functional.cross_entropy(network(inputs[picked]), targets[picked])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    return exported(network, (1, 1, 8, 8))
