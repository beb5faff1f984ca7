"""A free batch stays free from the ONNX file to the agent, and where it can't the file says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.inference.engines.tflite_engine import TfliteEngine
from optimizer.formats.onnx_format import OnnxSession
from optimizer.formats.tflite_emitter import check_equal, emit
from optimizer.formats.tflite_emitter.writer import TfliteWriter
from optimizer.formats.tflite_format import TfliteSession, load
from optimizer.model import Format, Model
from optimizer.pass_ import Desk, Observations
from optimizer.passes import ExportTflite
from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tokens() -> bytes:
    """Return attention over six tokens of four features, a class token joined to them: every shape has the batch."""
    parts = (
        node("Shape", "x", "n", end=1),
        node("Concat", "n one-four", "target", axis=0),
        node("Expand", "token target", "class"),
        node("Concat", "class x", "all", axis=1),
        node("Add", "all places", "placed"),
        node("MatMul", "placed w", "q"),
        node("Transpose", "q", "k", perm=[0, 2, 1]),
        node("MatMul", "q k", "scores"),
        node("Softmax", "scores", "shares", axis=-1),
        node("MatMul", "shares q", "mixed"),
        node("ReduceMean", "mixed axes", "y", keepdims=0),
    )
    constants: dict[str, NDArray[Any]] = {
        "one-four": numbers(1, 4),
        "token": weights(1, 1, 4),
        "places": weights(1, 7, 4, seed=1),
        "w": weights(4, 4),
        "axes": numbers(1),
    }
    return graph(*parts, inputs={"x": (1, 6, 4)}, constants=constants)


def rows(count: int) -> NDArray[np.float32]:
    """Return rows for the tokens."""
    return weights(count, 6, 4, seed=3)


def test_a_row_that_each_sample_gets_is_padded_in_and_added_with_its_place() -> None:
    result = emitted(tokens())

    assert result.fixed_batch == ""
    assert operators(result)["PAD"] == 1
    assert operators(result)["ADD"] == 1


def test_the_files_tensors_have_a_free_batch() -> None:
    spec = load(emit(tokens()).content, "tokens")

    assert [tensor.shape for tensor in (*spec.inputs, *spec.outputs)] == [(-1, 6, 4), (-1, 4)]


def test_batches_may_change_from_call_to_call() -> None:
    content = tokens()
    expected = np.asarray(OnnxSession(content, name="tokens", threads=1).run({"x": rows(5)})["y"], dtype=np.float32)
    session = TfliteSession(emit(content).content, name="tokens", threads=1)

    answers = [np.asarray(session.run({"x": rows(5)[:count]})["y"], np.float32) for count in (1, 5, 2, 5, 1)]

    assert [len(answer) for answer in answers] == [1, 5, 2, 5, 1]
    np.testing.assert_allclose(answers[1], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(answers[1], answers[3])
    np.testing.assert_array_equal(answers[0], answers[4])


def test_the_agent_answers_a_batch_as_it_answers_its_rows() -> None:
    engine = TfliteEngine.load(emit(tokens()).content, threads=1)

    together = np.asarray(engine.run({"x": rows(70)})["y"], np.float32)
    apart = np.concatenate([np.asarray(engine.run({"x": row[None]})["y"], np.float32) for row in rows(70)])

    assert engine.inputs[0].shape == (-1, 6, 4)
    assert together.shape == (70, 4)
    np.testing.assert_allclose(together, apart, atol=1e-6)


def test_a_recurrent_file_forgets_between_calls() -> None:
    from onnx import helper

    layer = helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=3, name="lstm")
    parts = (layer, node("Squeeze", "h zero", "y"))
    constants: dict[str, NDArray[Any]] = {"w": weights(1, 12, 4), "r": weights(1, 12, 3), "zero": numbers(0)}
    content = graph(*parts, inputs={"x": (5, 1, 4)}, constants=constants, free_batch=False)
    file = emit(content).content
    given = {"x": weights(5, 1, 4)}
    session, engine = TfliteSession(file, name="lstm", threads=1), TfliteEngine.load(file, threads=1)

    answers = [session.run(given)["y"], session.run(given)["y"]]
    served = [engine._invoke(given)["y"], engine._invoke(given)["y"]]  # time is first here, not rows

    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(served[0], served[1])


def test_a_batch_that_cannot_be_left_free_is_1_and_the_reason_is_kept() -> None:
    content = graph(node("Pad", "x p", "y"), inputs={"x": (1, 4)}, constants={"p": numbers(1, 0, 0, 0)})

    result = emit(content)
    spec = load(result.content, "padded")

    assert check_equal(content, result) == 0
    assert result.fixed_batch
    assert spec.inputs[0].shape == (1, 4)


def test_the_pass_tells_why_the_file_takes_one_row_at_a_time() -> None:
    content = graph(node("Pad", "x p", "y"), inputs={"x": (1, 4)}, constants={"p": numbers(1, 0, 0, 0)})
    told: list[str] = []
    seen = Observations(desk=Desk(progress=lambda words, _share: told.append(words)))

    ExportTflite().run(Model.from_bytes(Format.ONNX, content, name="padded"), seen)

    assert [words.partition(":")[2].partition(":")[0] for words in told] == [" the file takes one row at a time"]
    assert "batch" in told[0]


@pytest.mark.filterwarnings("ignore:.*preserve_all_tensors")
@pytest.mark.slow
def test_quantizing_keeps_the_batch_free() -> None:
    from ai_edge_quantizer import quantizer, recipe

    parts = (node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Flatten", "r", "f"), node("Gemm", "f v", "y"))
    constants: dict[str, NDArray[Any]] = {"w": weights(4, 3, 3, 3), "v": weights(48, 2)}
    tool = quantizer.Quantizer(bytearray(emit(graph(*parts, inputs={"x": (1, 3, 6, 5)}, constants=constants)).content))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = tool.calibrate({"serving_default": [{"x": weights(1, 6, 5, 3)}]}, num_threads=1)

    spec = load(bytes(tool.quantize(ranges).quantized_model), "int8")

    assert [tensor.shape for tensor in (*spec.inputs, *spec.outputs)] == [(-1, 6, 5, 3), (-1, 2)]


def test_a_file_that_states_its_batch_again_within_is_served_row_by_row() -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (1, 4)), writer.add_tensor("y", (2, 2))
    writer.add_operator("RESHAPE", (source, writer.add_constant("shape", np.asarray([2, 2], np.int32))), (result,))
    writer.leave_free(source, 0)
    file = writer.to_bytes([("x", source)], [("y", result)])

    spec, engine = load(file, "stated"), TfliteEngine.load(file, threads=1)

    assert spec.inputs[0].shape == engine.inputs[0].shape == (1, 4)
    np.testing.assert_array_equal(engine.run({"x": np.ones((1, 4), np.float32)})["y"], np.ones((2, 2)))
