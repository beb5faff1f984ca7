"""LSTMs of a TFLite file in integers: near the float ones, right at every call, whatever surrounds them."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from contracts.preprocessing import to_real, to_stored
from optimizer.calibration.collect import collect
from optimizer.errors import PassFailed
from optimizer.formats.session import open_session
from optimizer.formats.tflite_emitter import emit
from optimizer.formats.tflite_emitter.file import operations, read_file, write_file
from optimizer.formats.tflite_format import float_tensors
from optimizer.model import Format, Model
from optimizer.pass_ import Observations, Wants
from optimizer.passes import Precision, QuantizeTflite
from optimizer.passes.integer_lstm.clearing import drop_clearing
from optimizer.passes.integer_lstm.layers import float_layers
from optimizer.passes.integer_lstm.peaks import cell_peaks
from tests.optimizer.formats.tflite_emitter.operators.recurrent.layers import (
    HIDDEN,
    STEPS,
    WIDTH,
    last_step,
    layer,
    model,
    rows,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR = 0.06
"""Error by squares, as a share of the answers': twice that of the best file that rounds to int8."""


def float_model(content: bytes) -> Model:
    """Return the TFLite file of an ONNX one."""
    return Model.from_bytes(Format.TFLITE, emit(content).content, name="recurrent")


def uncleared(content: bytes) -> Model:
    """Return the TFLite file as other converters write it: its LSTMs go on from where the last call left them."""
    file = read_file(emit(content).content)
    drop_clearing(file, list(float_layers(file)))
    return Model.from_bytes(Format.TFLITE, write_file(file), name="recurrent")


def seen(original: Model, *, number: int = 64) -> Observations:
    """Return seeded rows, and the statistics over them."""
    batch = {original.inputs[0].name: rows(number, seed=3)}
    return Observations(rows=batch, statistics=collect(original, [batch]))


def quantized(original: Model, precision: Precision = Precision.INT8) -> Model:
    """Return the file in that precision."""
    return QuantizeTflite(precision=precision).run(original, seen(original))


def answers(of: Model, x: NDArray[Any]) -> NDArray[Any]:
    """Return what the model answers, as real numbers."""
    (taken,), (given,) = of.inputs, of.outputs
    answer = open_session(of, threads=1).run({taken.name: to_stored(x, taken)})[given.name]
    return np.asarray(to_real(answer, given.quantization) if given.quantization else answer)


def error(original: Model, made: Model, x: NDArray[Any]) -> float:
    """Return the root of the mean squared difference, as a share of that of the float file's answers."""
    expected = answers(original, x)
    return float(np.linalg.norm(expected - answers(made, x)) / np.linalg.norm(expected))


def steps_of(of: Model) -> Counter[str]:
    """Count the operators."""
    return Counter(one.operator for one in operations(read_file(of.content)))


@cache
def stacked() -> bytes:
    """Return two layers, the second of which gives its last state."""
    from onnx import helper

    one, first = layer("LSTM")
    two, second = layer("LSTM", width=HIDDEN, prefix="second_", inputs="steps", outputs=("", "Y_h"))
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        one,
        helper.make_node("Squeeze", ["Y", "directions"], ["steps"]),
        two,
        helper.make_node("Squeeze", ["Y_h", "zero"], ["state"]),
        helper.make_node("Gemm", ["state", "dense"], ["y"], transB=1),
    ]
    more = {"directions": np.asarray([1]), "zero": np.asarray([0]), "dense": np.eye(3, HIDDEN, dtype=np.float32)}
    return model(nodes, {**first, **second, **more})


def counting_while_positive() -> bytes:
    """Return a layer whose cells add 1 at each step whose first number is 1, and forget all where it is -1."""
    from onnx import helper

    recurrent, constants = layer("LSTM", outputs=("", "Y_h"))
    counting = {name: np.zeros_like(array) for name, array in constants.items()}
    counting["w"][:, :, 0] = 10
    turn = helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2])
    return model([turn, recurrent], counting, outputs=("Y_h",), free=False)


@pytest.mark.parametrize("free", [True, False])
def test_no_tensor_of_the_file_is_float_and_its_answers_are_near(*, free: bool) -> None:
    original = float_model(last_step("LSTM", free=free))

    result = quantized(original)

    assert float_tensors(result.content) == ()
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(steps_of(result))
    assert error(original, result, rows(20, seed=3)[:1]) < NEAR


def test_a_free_batch_stays_free() -> None:
    original = float_model(last_step("LSTM"))

    result = quantized(original)

    assert error(original, result, rows(5, seed=3)) < NEAR


def test_layers_in_a_row_hand_integers_on() -> None:
    original = float_model(stacked())

    result = quantized(original)

    assert steps_of(result)["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 2
    assert float_tensors(result.content) == ()
    assert error(original, result, rows(3, seed=3)) < NEAR


def test_every_call_begins_with_zeros_where_the_float_file_does() -> None:
    from ai_edge_litert.interpreter import Interpreter

    result = quantized(float_model(last_step("LSTM", free=False)))
    interpreter = Interpreter(model_content=result.content, num_threads=1)
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner("serving_default")
    stored = {result.inputs[0].name: to_stored(rows(1), result.inputs[0])}

    first, second = ({name: array.copy() for name, array in run(**stored).items()} for _ in range(2))

    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_file_that_goes_on_from_call_to_call_still_does() -> None:
    original = uncleared(last_step("LSTM", free=False))

    result = quantized(original)

    assert steps_of(result) == Counter({"UNIDIRECTIONAL_SEQUENCE_LSTM": 1, "STRIDED_SLICE": 1, "FULLY_CONNECTED": 1})
    assert error(original, result, rows(20, seed=3)[:1]) < NEAR


def test_the_cell_state_has_the_scale_of_a_power_of_two_that_holds_its_peak() -> None:
    original = uncleared(last_step("LSTM", free=False))
    file = read_file(original.content)
    (found,) = float_layers(file)
    peak = cell_peaks(original.content, [found], seen(original).rows)[found.output]

    result = read_file(quantized(original).content)

    (scale,) = (one.quantization.scale[0] for one in result.subgraphs[0].tensors if one.type == 7 and one.isVariable)
    assert np.log2(scale) == np.round(np.log2(scale))
    assert peak / 32767 <= scale
    assert scale < 2 * peak / 32767 or scale == 2**-15


def test_a_peak_is_that_of_any_step_and_not_of_the_last_alone() -> None:
    original = uncleared(counting_while_positive())
    (found,) = float_layers(read_file(original.content))
    x = np.zeros((1, STEPS, WIDTH), dtype=np.float32)
    x[..., 0] = [1, 1, 1, 1, -1, -1]

    peak = cell_peaks(original.content, [found], {"x": x})[found.output]

    assert peak == pytest.approx(4, abs=0.01)
    assert abs(answers(original, x)).max() < 0.01


@pytest.mark.parametrize("precision", [Precision.INT16X8, Precision.DYNAMIC, Precision.FP16, Precision.WEIGHTS])
def test_in_other_precisions_the_lstm_stays_float_and_right(precision: Precision) -> None:
    original = float_model(last_step("LSTM"))

    result = quantized(original, precision)

    assert steps_of(result)["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 1
    assert error(original, result, rows(3, seed=3)) < NEAR


def test_an_rnn_stays_float_in_mixed_and_is_refused_in_full_int8() -> None:
    original = float_model(last_step("RNN"))

    mixed = quantized(original, Precision.MIXED)

    assert error(original, mixed, rows(2, seed=3)) < NEAR
    with pytest.raises(PassFailed, match="UNIDIRECTIONAL_SEQUENCE_RNN"):
        quantized(original)


def test_rows_are_asked_for_where_there_is_an_lstm() -> None:
    step = QuantizeTflite(rows=7)

    with_one, without = (step.observes(float_model(last_step(op)).spec) for op in ("LSTM", "GRU"))

    assert with_one == Wants(rows=7, statistics_rows=7)
    assert without == Wants(statistics_rows=7)


def test_an_lstm_without_rows_is_refused() -> None:
    original = float_model(last_step("LSTM"))

    with pytest.raises(PassFailed, match="at least one calibration row"):
        QuantizeTflite().run(original, Observations(statistics=seen(original).statistics))
