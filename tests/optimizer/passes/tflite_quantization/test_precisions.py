"""Each precision: what becomes integer, how near the answers stay, and what is objected to or refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.manifest import ModelFormat
from contracts.preprocessing import to_real, to_stored
from contracts.tensors import ElementType
from device_profiles.profile import DeviceClass
from optimizer.errors import PassFailed
from optimizer.formats.session import open_session
from optimizer.formats.tflite_emitter.file import is_dynamic_range, operations, read_file
from optimizer.formats.tflite_emitter.writer import TfliteWriter
from optimizer.formats.tflite_format import float_tensors
from optimizer.model import Format, Model
from optimizer.pass_ import Observations, Wants
from optimizer.passes import CalibrationMethod, Precision, QuantizeTflite
from tests.optimizer.builders import a_profile
from tests.optimizer.formats.tflite_emitter.int8_answers import statistics
from tests.optimizer.passes.tflite_quantization.networks import a_float_net, image_rows, made, scores, seen

NEAR = {
    Precision.INT8: 0.05,
    Precision.MIXED: 0.05,
    Precision.INT16X8: 0.02,
    Precision.DYNAMIC: 0.03,
    Precision.WEIGHTS: 0.02,
    Precision.FP16: 0.001,
}
"""Largest error, as a share of the float file's largest answer."""


def steps_of(model: Model) -> list[str]:
    """Return the model's operators in order."""
    return [one.operator for one in operations(read_file(model.content))]


@pytest.mark.parametrize("precision", Precision)
def test_answers_stay_near_the_float_files(precision: Precision) -> None:
    rows = image_rows()[:20]

    expected, actual = scores(a_float_net(), rows), scores(made(precision), rows)

    assert np.abs(expected - actual).max() < NEAR[precision] * np.abs(expected).max()


@pytest.mark.parametrize("precision", Precision)
def test_the_file_is_smaller_and_keeps_the_names_of_its_ends(precision: Precision) -> None:
    result = made(precision)

    assert result.size_bytes < a_float_net().size_bytes
    assert [one.name for one in (*result.inputs, *result.outputs)] == ["image", "scores"]


@pytest.mark.parametrize("precision", Precision)
def test_only_half_precision_is_no_quantization(precision: Precision) -> None:
    assert made(precision).spec.quantized is (precision is not Precision.FP16)
    assert QuantizeTflite(precision=precision).result(a_float_net().spec).quantized is made(precision).spec.quantized


def test_full_int8_has_no_float_tensor() -> None:
    result = made(Precision.INT8)

    assert float_tensors(result.content) == ()
    assert {one.element for one in (*result.inputs, *result.outputs)} == {ElementType.INT8}
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(steps_of(result))


def test_activations_of_16_bits_leave_the_ends_float() -> None:
    result = made(Precision.INT16X8)

    assert {one.element for one in (*result.inputs, *result.outputs)} == {ElementType.FP32}
    assert (steps_of(result)[0], steps_of(result)[-1]) == ("QUANTIZE", "DEQUANTIZE")


def test_dynamic_range_is_the_only_precision_that_is_called_so() -> None:
    called = {precision for precision in Precision if is_dynamic_range(made(precision).content)}

    assert called == {Precision.DYNAMIC}


def test_weights_alone_need_no_rows() -> None:
    wanted = {precision: QuantizeTflite(precision=precision).observes(a_float_net().spec) for precision in Precision}

    assert wanted[Precision.INT8] == Wants(statistics_rows=128)
    assert {wanted[one] for one in (Precision.DYNAMIC, Precision.WEIGHTS, Precision.FP16)} == {Wants()}


def test_a_kept_output_stays_float_with_the_operator_that_gives_it() -> None:
    result = QuantizeTflite(keep=("scores",)).run(a_float_net(), seen())

    assert result.inputs[0].element is ElementType.INT8
    assert result.outputs[0].element is ElementType.FP32
    assert steps_of(result)[-2:] == ["DEQUANTIZE", "FULLY_CONNECTED"]


def test_a_kept_tensor_that_is_not_there_is_named() -> None:
    with pytest.raises(PassFailed, match="has no tensor 'score'; correct keep"):
        QuantizeTflite(keep=("score",)).run(a_float_net(), seen())


def test_percentiles_narrow_the_range_of_a_tensor_with_outliers() -> None:
    rows = image_rows()
    rows[3, 2, 2, 1] = 400.0
    shown = Observations(statistics=statistics(a_float_net(), [{"image": row[None]} for row in rows]))

    whole = QuantizeTflite().run(a_float_net(), shown).inputs[0].quantization
    cut = QuantizeTflite(method=CalibrationMethod.PERCENTILE, percentile=99.9).run(a_float_net(), shown)

    assert whole is not None
    assert cut.inputs[0].quantization is not None
    assert cut.inputs[0].quantization.scale < 0.1 * whole.scale


def test_mixed_leaves_float_what_has_no_integer_form() -> None:
    writer = TfliteWriter()
    source, inner, result = (writer.add_tensor(name, (1, 4)) for name in ("x", "inner", "y"))
    writer.add_operator("RELU", (source,), (inner,))
    writer.add_operator("CEIL", (inner,), (result,))
    model = Model.from_bytes(Format.TFLITE, writer.to_bytes([("x", source)], [("y", result)]), name="rounds")
    shown = Observations(statistics=statistics(model, [{"x": np.array([[1.2, -1, 3, 2.6]], np.float32)}]))

    mixed = QuantizeTflite(precision=Precision.MIXED).run(model, shown)

    assert steps_of(mixed) == ["RELU", "DEQUANTIZE", "CEIL", "QUANTIZE"]
    with pytest.raises(PassFailed, match="no int8 form of CEIL; take precision mixed"):
        QuantizeTflite().run(model, shown)


def test_a_product_with_a_constant_gets_one_scale_as_the_kernel_reads_one() -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (2, 3, 4)), writer.add_tensor("y", (2, 3, 6))
    constant = writer.add_constant("c", np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32))
    writer.add_operator("BATCH_MATMUL", (source, constant), (result,), options=writer.schema.BatchMatMulOptionsT())
    model = Model.from_bytes(Format.TFLITE, writer.to_bytes([("x", source)], [("y", result)]), name="product")
    shown = Observations(statistics=statistics(model, [{"x": np.ones((2, 3, 4), np.float32)}]))

    file = read_file(QuantizeTflite().run(model, shown).content)

    assert {len(tensor.quantization.scale) for tensor in file.subgraphs[0].tensors} == {1}


def test_a_graph_of_integers_has_nothing_to_quantize() -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (1, 4), np.int32), writer.add_tensor("y", (1, 4), np.int32)
    writer.add_operator("ADD", (source, source), (result,), options=writer.schema.AddOptionsT())
    model = Model.from_bytes(Format.TFLITE, writer.to_bytes([("x", source)], [("y", result)]), name="whole")
    shown = Observations(statistics=statistics(model, [{"x": np.ones((1, 4), np.int32)}]))

    with pytest.raises(PassFailed, match="there is nothing to quantize"):
        QuantizeTflite().run(model, shown)


def test_a_precision_that_changes_nothing_says_so() -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (1, 4)), writer.add_tensor("y", (1, 4))
    writer.add_operator("RELU", (source,), (result,))
    model = Model.from_bytes(Format.TFLITE, writer.to_bytes([("x", source)], [("y", result)]), name="bare")

    with pytest.raises(PassFailed, match="precision dynamic changes nothing in bare"):
        QuantizeTflite(precision=Precision.DYNAMIC).run(model, Observations())


def test_dynamic_range_is_objected_to_where_only_the_older_runtime_is() -> None:
    board = dataclasses.replace(a_profile(), architecture="armv7l", formats=(ModelFormat.TFLITE,))
    other = dataclasses.replace(board, architecture="aarch64")

    (objection,) = QuantizeTflite(precision=Precision.DYNAMIC).objections(a_float_net().spec, board)

    assert "tflite-runtime alone" in objection
    assert list(QuantizeTflite(precision=Precision.DYNAMIC).objections(a_float_net().spec, other)) == []
    assert list(QuantizeTflite().objections(a_float_net().spec, board)) == []


def test_a_target_of_full_int8_takes_no_other_precision() -> None:
    target = dataclasses.replace(a_profile(), full_int8=True, formats=(ModelFormat.TFLITE,))

    refusing = {one for one in Precision if list(QuantizeTflite(precision=one).objections(a_float_net().spec, target))}

    assert refusing == set(Precision) - {Precision.INT8}


def test_operators_that_a_microcontroller_lacks_are_objected_to() -> None:
    target = dataclasses.replace(a_profile(), device_class=DeviceClass.MICROCONTROLLER)
    spec = dataclasses.replace(a_float_net().spec, operators=frozenset({"CONV_2D", "GELU"}))

    (objection,) = QuantizeTflite().objections(spec, target)

    assert objection == "TensorFlow Lite Micro, which test-board runs, has no GELU"


@pytest.mark.parametrize("precision", Precision)
def test_a_free_batch_stays_free(precision: Precision) -> None:
    rows = image_rows(6)

    result = made(precision)
    answers = open_session(result, threads=1).run({"image": to_stored(rows, result.inputs[0])})

    assert (result.inputs[0].shape[0], result.outputs[0].shape[0]) == (-1, -1)
    assert len(answers["scores"]) == 6


def test_a_tensor_that_no_scale_can_hold_is_named() -> None:
    rows = image_rows(4)
    rows[1, 0, 0, 0] = 1e20
    shown = Observations(statistics=statistics(a_float_net(), [{"image": row[None]} for row in rows]))

    with pytest.raises(PassFailed, match=r"'image' of net reached .* which no integers can tell apart"):
        QuantizeTflite().run(a_float_net(), shown)


@pytest.mark.parametrize("weight", [0.0, 1e-12])
def test_a_channel_without_weights_keeps_its_bias(weight: float) -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (1, 4)), writer.add_tensor("y", (1, 2))
    kernel = writer.add_constant("w", np.array([[1, -1, 0.5, 2], [weight] * 4], np.float32))
    bias = writer.add_constant("b", np.array([0.25, 1.5], np.float32))
    options = writer.schema.FullyConnectedOptionsT()
    writer.add_operator("FULLY_CONNECTED", (source, kernel, bias), (result,), options=options)
    model = Model.from_bytes(Format.TFLITE, writer.to_bytes([("x", source)], [("y", result)]), name="pruned")
    row = {"x": np.array([[1, -0.5, 0.25, 1]], np.float32)}

    made_of = QuantizeTflite().run(model, Observations(statistics=statistics(model, [row])))
    given = open_session(made_of, threads=1).run({"x": to_stored(row["x"], made_of.inputs[0])})["y"]

    assert to_real(given, made_of.outputs[0].quantization)[0, 1] == pytest.approx(1.5, abs=0.03)
