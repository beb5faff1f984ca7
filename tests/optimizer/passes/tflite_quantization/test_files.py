"""The file itself: weights widened, what no runtime reads left out, data where every runtime finds them."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.errors import ModelError, PassFailed
from optimizer.formats.tflite_emitter.file import element_names, read_file, tensor_names, write_file
from optimizer.model import Format, Model
from optimizer.passes import Precision, QuantizeTflite
from optimizer.passes.tflite_quantization.compact import compact
from optimizer.passes.tflite_quantization.floats import widen_weights
from tests.optimizer.passes.tflite_quantization.networks import a_float_net, image_rows, made, scores, seen


def test_a_file_that_is_read_and_written_computes_the_same() -> None:
    rows = image_rows(4)

    again = Model.from_bytes(Format.TFLITE, write_file(read_file(a_float_net().content)), name="again")

    assert np.array_equal(scores(again, rows), scores(a_float_net(), rows))


def test_compacting_changes_no_answer_and_only_shortens() -> None:
    rows, file = image_rows(4), read_file(a_float_net().content)

    compact(file, inputs=["image"], outputs=["scores"])
    short = Model.from_bytes(Format.TFLITE, write_file(file), name="short")

    assert short.size_bytes < a_float_net().size_bytes
    assert np.array_equal(scores(short, rows), scores(a_float_net(), rows))


def test_inner_tensors_lose_their_names_and_equal_data_stand_once() -> None:
    file = read_file(a_float_net().content)
    graph = file.subgraphs[0]
    buffers = {tensor.buffer for tensor in graph.tensors if file.buffers[tensor.buffer].data}
    for place in buffers:
        file.buffers[place].data = bytes(len(file.buffers[place].data))

    compact(file, inputs=["image"], outputs=["scores"])
    contents = [buffer.data for buffer in file.buffers]

    assert sorted(tensor.name for tensor in graph.tensors if tensor.name) == [b"image", b"scores"]
    assert len(contents) == len(set(contents))


@pytest.mark.parametrize("precision", [Precision.DYNAMIC, Precision.WEIGHTS, Precision.FP16])
def test_weights_that_are_stored_small_become_the_same_integers_again(precision: Precision) -> None:
    direct = QuantizeTflite().run(a_float_net(), seen())
    stored = made(precision)
    names = read_file(stored.content)
    widened = widen_weights(names)
    wide = Model.from_bytes(Format.TFLITE, write_file(names), name="wide")

    integers, expected = scores(wide, image_rows(8)), scores(a_float_net(), image_rows(8))

    assert widened
    assert not wide.spec.quantized
    assert np.abs(integers - expected).max() < 0.02 * np.abs(expected).max()
    assert direct.spec.quantized


def test_a_file_of_integer_activations_is_no_float_file() -> None:
    assert not widen_weights(read_file(made(Precision.INT8).content))
    with pytest.raises(PassFailed, match="quantized already; give the float model"):
        QuantizeTflite().run(made(Precision.INT16X8), seen())


def test_a_constant_of_fewer_numbers_than_its_shape_says_is_refused_by_name() -> None:
    file = read_file(made(Precision.FP16).content)
    half = next(number for number, name in element_names().items() if name == "FLOAT16")
    tensor = next(one for one in file.subgraphs[0].tensors if one.type == half)
    file.buffers[tensor.buffer].data, tensor.name = bytes(2), b"weights"

    with pytest.raises(PassFailed, match="constant 'weights' holds 1 numbers for shape"):
        widen_weights(file)


def test_tensors_of_one_name_are_told_apart() -> None:
    file = read_file(a_float_net().content)
    for tensor in file.subgraphs[0].tensors[:3]:
        tensor.name = b"same"

    assert tensor_names(file)[:3] == ["same", "same;1", "same;2"]


def test_data_behind_the_tables_are_read_too() -> None:
    content = bytearray(a_float_net().content)
    file = read_file(bytes(content))
    place = next(tensor.buffer for tensor in file.subgraphs[0].tensors if file.buffers[tensor.buffer].data)
    data = file.buffers[place].data

    outside = _moved_behind(bytes(content), place)

    assert read_file(outside).buffers[place].data == data


def test_what_is_no_tflite_file_is_refused() -> None:
    with pytest.raises(ModelError, match="damaged or cut short"):
        read_file(b"\x10\x00\x00\x00TFL3" + bytes(4))


def test_element_types_have_the_schemas_names() -> None:
    assert {"FLOAT32", "INT8", "INT16"} <= set(element_names().values())


def _moved_behind(content: bytes, place: int) -> bytes:
    """Return the file with one buffer's data behind the tables, as ai-edge-quantizer writes larger files."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools.flatbuffer_utils import update_packed_buffer

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    data = bytes(model.buffers[place].data)
    model.buffers[place].data, model.buffers[place].offset, model.buffers[place].size = None, 2, 2
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    written = bytearray(builder.Output())
    update_packed_buffer(schema.Model.GetRootAs(written, 0).Buffers(place), offset=len(written), size=len(data))
    return bytes(written) + data
