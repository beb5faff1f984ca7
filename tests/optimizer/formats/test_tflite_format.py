"""TFLite files: their tensors, polite errors for what is none, and what counts as full int8."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.tensors import ElementType
from optimizer.errors import ModelError
from optimizer.formats.tflite_emitter import emit
from optimizer.formats.tflite_emitter.writer import TfliteWriter
from optimizer.formats.tflite_format import float_tensors, load, session
from optimizer.model import Format, Model
from tests.optimizer.formats.onnx_graphs import graph, node, weights


def a_float_file() -> bytes:
    """Return image (1, 6, 5, 3) to five scores."""
    parts = (node("Conv", "image w", "c"), node("GlobalAveragePool", "c", "p"), node("Flatten", "p", "scores"))
    content = graph(*parts, inputs={"image": (1, 3, 6, 5)}, constants={"w": weights(5, 3, 3, 3)}, outputs="scores")
    return emit(content).content


def test_a_file_tells_its_tensors_and_operators() -> None:
    spec = load(a_float_file(), "scores")

    assert [(one.name, one.element, one.shape) for one in spec.inputs] == [("image", ElementType.FP32, (-1, 6, 5, 3))]
    assert [(one.name, one.shape) for one in spec.outputs] == [("scores", (-1, 5))]
    assert spec.operators == {"CONV_2D", "MEAN", "RESHAPE"}
    assert not spec.quantized


def test_a_session_answers_in_the_files_own_tensors() -> None:
    model = Model.from_bytes(Format.TFLITE, a_float_file(), name="scores")

    first = session(model, 1).run({"image": np.ones((1, 6, 5, 3), dtype=np.float32)})
    again = session(model, 1).run({"image": np.ones((1, 6, 5, 3), dtype=np.float32)})

    assert first["scores"].shape == (1, 5)
    np.testing.assert_array_equal(first["scores"], again["scores"])


def test_an_answer_survives_the_next_run() -> None:
    running = session(Model.from_bytes(Format.TFLITE, a_float_file(), name="scores"), 1)

    first = running.run({"image": np.ones((1, 6, 5, 3), dtype=np.float32)})["scores"]
    kept = first.copy()
    running.run({"image": np.zeros((1, 6, 5, 3), dtype=np.float32)})

    np.testing.assert_array_equal(first, kept)


def test_every_float_tensor_is_named() -> None:
    assert "image" in float_tensors(a_float_file())


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 200])
def test_what_is_no_tflite_file_is_refused_politely(content: bytes) -> None:
    with pytest.raises(ModelError, match="is no TFLite file"):
        load(content, "thing")


@pytest.mark.parametrize("kept", [100, 400, 900])
def test_a_file_cut_short_is_refused_politely(kept: int) -> None:
    with pytest.raises(ModelError, match="thing: LiteRT cannot read it"):
        load(a_float_file()[:kept], "thing")


def test_operators_in_the_wrong_order_are_refused_before_litert_ends_the_process() -> None:
    writer = TfliteWriter()
    source, inner, result = (writer.add_tensor(name, (1, 4)) for name in ("x", "inner", "y"))
    writer.add_operator("RELU", (inner,), (result,))
    writer.add_operator("RELU", (source,), (inner,))

    with pytest.raises(ModelError, match="thing has an operator that reads what a later one gives"):
        load(writer.to_bytes([("x", source)], [("y", result)]), "thing")


def test_an_unknown_custom_operator_is_named() -> None:
    writer = TfliteWriter()
    source = writer.add_tensor("x", (1, 4))
    result = writer.add_tensor("y", (1, 4))
    writer.add_operator("RELU", (source,), (result,))
    content = as_custom(writer.to_bytes([("x", source)], [("y", result)]), "Mystery")

    with pytest.raises(ModelError, match="custom operator Mystery"):
        load(content, "thing")


def test_a_file_compiled_for_the_edge_tpu_is_named_as_such() -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (1, 4)), writer.add_tensor("y", (1, 4))
    writer.add_operator("RELU", (source,), (result,))
    content = as_custom(writer.to_bytes([("x", source)], [("y", result)]), "edgetpu-custom-op")

    with pytest.raises(ModelError, match=r"compiled for the Edge TPU; give the \.tflite file"):
        load(content, "thing")


def test_constants_lie_where_every_processor_can_read_them() -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(a_float_file(), 0)
    tables = [model.Buffers(place)._tab for place in range(1, model.BuffersLength())]
    places = [table.Vector(table.Offset(4)) for table in tables]

    assert places
    assert {place % 16 for place in places} == {0}


def as_custom(content: bytes, name: str) -> bytes:
    """Return the file with its one operator turned into a custom one."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    code = model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = name
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_a_file_without_a_graph_is_refused_before_the_runtime_sees_it() -> None:
    whole = a_float_file()
    table = int.from_bytes(whole[:4], "little")
    layout = table - int.from_bytes(whole[table : table + 4], "little", signed=True)

    with pytest.raises(ModelError, match="holds no graph"):
        load(whole[: layout + 8] + bytes(2) + whole[layout + 10 :], "damaged")
