"""Recurrent layers become one operator that begins anew at every call, or steps; what follows them is short."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import DataObject, data

from optimizer.errors import UnsupportedOperator
from optimizer.formats.onnx_format import OnnxSession
from optimizer.formats.tflite_emitter import Emitted, emit
from optimizer.formats.tflite_emitter.forms import RecurrentForm
from tests.optimizer.formats.onnx_graphs import operators
from tests.optimizer.formats.tflite_emitter.answers import answers, check_case
from tests.optimizer.formats.tflite_emitter.cases import CASES
from tests.optimizer.formats.tflite_emitter.operators.recurrent.layers import (
    HIDDEN,
    STEPS,
    last_step,
    layer,
    model,
    rows,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEQUENCE = {"UNIDIRECTIONAL_SEQUENCE_LSTM": 1, "STRIDED_SLICE": 1, "FULLY_CONNECTED": 1}


def difference(content: bytes, emitted: Emitted, inputs: dict[str, NDArray[Any]]) -> float:
    """Return the largest difference from ONNX Runtime, as a share of the largest expected value."""
    expected = OnnxSession(content, name="the original", threads=1).run(inputs)
    given = answers(emitted, inputs)
    return max(
        float(np.abs(np.asarray(array) - given[name]).max() / np.abs(np.asarray(array)).max())
        for name, array in expected.items()
    )


def called(content: bytes, calls: int, x: NDArray[Any]) -> list[NDArray[Any]]:
    """Return what one interpreter answers to the same rows again and again; nobody clears its variables."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], x.shape)
    interpreter.allocate_tensors()
    answered = []
    for _ in range(calls):
        interpreter.set_tensor(taken["index"], x)
        interpreter.invoke()
        answered.append(interpreter.get_tensor(given["index"]))
    return answered


def test_an_exported_lstm_of_fixed_batch_is_four_operators() -> None:
    result = emit(last_step("LSTM", free=False))

    assert operators(result) == Counter({**SEQUENCE, "SPLIT": 1})


def test_an_exported_lstm_of_free_batch_is_five_operators() -> None:
    result = emit(last_step("LSTM"))

    assert operators(result) == Counter({**SEQUENCE, "FULLY_CONNECTED": 2, "SPLIT": 1})


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("op", ["LSTM", "RNN"])
def test_every_call_begins_anew_whoever_calls(op: str, *, free: bool) -> None:
    content, x = last_step(op, free=free), rows(1)

    first, second, third = called(emit(content).content, 3, x)

    assert np.array_equal(first, second)
    assert np.array_equal(first, third)
    assert difference(content, emit(content), {"x": x}) < 1e-5


@pytest.mark.parametrize("form", list(RecurrentForm))
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_any_batch_is_answered_in_either_form(op: str, form: RecurrentForm) -> None:
    content = last_step(op)

    result = emit(content, recurrent=form)

    assert result.fixed_batch == ""
    assert difference(content, result, {"x": rows(3)}) < 1e-5
    assert difference(content, result, {"x": rows(1)}) < 1e-5


def test_one_interpreter_may_be_given_batch_after_batch() -> None:
    content = emit(last_step("LSTM")).content

    three, one = called(content, 2, rows(3)), called(content, 2, rows(3)[:1])

    np.testing.assert_allclose(three[1][:1], one[1], atol=1e-6)


def test_a_gru_takes_eleven_operators_a_step_and_seven_for_the_first() -> None:
    result = emit(last_step("GRU"))

    found = operators(result)
    around = found["UNPACK"] + 3
    assert found.total() == 11 * (STEPS - 1) + 7 + around
    assert found["PACK"] == found["STRIDED_SLICE"] == 0


def test_an_unrolled_lstm_hands_over_its_last_step_without_the_others() -> None:
    result = emit(last_step("LSTM"), recurrent=RecurrentForm.UNROLLED)

    assert operators(result)["PACK"] == 0
    assert operators(result)["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 0


def test_both_directions_are_one_operator_and_their_steps_lie_side_by_side() -> None:
    from onnx import helper

    recurrent, constants = layer("RNN", directions=2)
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        recurrent,
        helper.make_node("Transpose", ["Y"], ["together"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["together", "shape"], ["steps"]),
        helper.make_node("Transpose", ["steps"], ["y"], perm=[1, 0, 2]),
    ]
    content = model(nodes, {**constants, "shape": np.asarray([0, 0, -1])})

    result = emit(content)

    assert operators(result)["BIDIRECTIONAL_SEQUENCE_RNN"] == 1
    assert operators(result)["RESHAPE"] == operators(result)["TRANSPOSE"] == operators(result)["CONCATENATION"] == 0
    assert difference(content, result, {"x": rows(2)}) < 1e-5


def test_many_rows_of_a_bidirectional_lstm_keep_their_states_apart() -> None:
    from onnx import helper

    recurrent, constants = layer("LSTM", directions=2, outputs=("", "Y_h"))
    turn = helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2])
    content = model([turn, recurrent, helper.make_node("Transpose", ["Y_h"], ["y"], perm=[1, 0, 2])], constants)

    result = emit(content)

    assert operators(result)["BIDIRECTIONAL_SEQUENCE_LSTM"] == 1
    assert difference(content, result, {"x": rows(4)}) < 1e-5


def test_the_last_state_of_a_layer_is_gathered_without_joining_the_layers() -> None:
    from onnx import helper

    one, first = layer("LSTM", outputs=("Y", "h0"))
    two, second = layer("LSTM", width=HIDDEN, prefix="second_", inputs="steps", outputs=("", "h1"))
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        one,
        helper.make_node("Squeeze", ["Y", "directions"], ["steps"]),
        two,
        helper.make_node("Concat", ["h0", "h1"], ["joined"], axis=0),
        helper.make_node("Gather", ["joined", "minus_one"], ["y"], axis=0),
    ]
    more = {"directions": np.asarray([1]), "minus_one": np.asarray(-1)}
    content = model(nodes, {**first, **second, **more})

    result = emit(content)

    assert operators(result)["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 2
    assert operators(result)["STRIDED_SLICE"] == 1
    assert operators(result)["CONCATENATION"] == operators(result)["GATHER"] == 0
    assert difference(content, result, {"x": rows(2)}) < 1e-5


def test_a_state_that_is_computed_is_set_before_the_sequence() -> None:
    from onnx import TensorProto, helper

    recurrent, constants = layer("LSTM", inputs="turned h0 c0", outputs=("", "Y_h", "Y_c"))
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, HIDDEN]) for name in ("h", "c")]
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        *(helper.make_node("Transpose", [name], [f"{name}0"], perm=[1, 0, 2]) for name in ("h", "c")),
        recurrent,
        *(helper.make_node("Transpose", [f"Y_{name}"], [f"y_{name}"], perm=[1, 0, 2]) for name in ("h", "c")),
    ]
    content = model(nodes, constants, outputs=("y_h", "y_c"), more_inputs=tuple(given))
    states = {name: rows(2, seed=place)[:, :1, [0, 1, 2, 3] * 2] for place, name in enumerate(("h", "c"))}

    result = emit(content)

    assert operators(result)["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 1
    assert difference(content, result, {"x": rows(2), **states}) < 1e-5


def test_a_squeezed_state_goes_into_the_dense_layer_without_a_reshape() -> None:
    from onnx import helper

    recurrent, constants = layer("LSTM", outputs=("", "Y_h"))
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        recurrent,
        helper.make_node("Squeeze", ["Y_h", "zero"], ["state"]),
        helper.make_node("Gemm", ["state", "dense"], ["y"], transB=1),
    ]
    more = {"zero": np.asarray([0]), "dense": np.eye(3, HIDDEN, dtype=np.float32)}
    content = model(nodes, {**constants, **more}, free=False)

    result = emit(content)

    assert operators(result) == Counter({**SEQUENCE, "SPLIT": 1})
    assert difference(content, result, {"x": rows(1)}) < 1e-5


def test_two_layers_of_equal_size_do_not_share_their_states() -> None:
    from onnx import helper

    one, first = layer("LSTM", outputs=("", "left"))
    two, second = layer("LSTM", prefix="second_", outputs=("", "right"))
    turn = helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2])
    content = model(
        [turn, one, two, helper.make_node("Add", ["left", "right"], ["y"])], {**first, **second}, free=False
    )

    result = emit(content)

    assert difference(content, result, {"x": rows(1)}) < 1e-5


def test_sequences_of_several_lengths_are_refused() -> None:
    from onnx import helper

    node, constants = layer("GRU", outputs=("", "Y_h"))
    node.input.append("lengths")
    turn = helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2])
    lengths = {"lengths": np.asarray([STEPS - 1], dtype=np.int32)}
    content = model([turn, node], {**constants, **lengths}, outputs=("Y_h",), free=False)

    with pytest.raises(UnsupportedOperator, match=r"gru.*several lengths"):
        emit(content)


def test_an_activation_that_is_not_written_is_refused_by_name() -> None:
    from onnx import helper

    node, constants = layer("RNN", outputs=("", "Y_h"), activations=["Softsign"])
    turn = helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2])
    content = model([turn, node], constants, outputs=("Y_h",), free=False)

    with pytest.raises(UnsupportedOperator, match="softsign is not written; sigmoid, tanh, relu are"):
        emit(content)


@pytest.mark.slow
@pytest.mark.parametrize("operator", ["LSTM", "RNN"])
@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(draw=data())
def test_the_unrolled_form_answers_as_onnx_runtime_does(operator: str, draw: DataObject) -> None:
    case = draw.draw(CASES[operator])

    emitted = check_case(case, recurrent=RecurrentForm.UNROLLED)

    assert emitted is not None
