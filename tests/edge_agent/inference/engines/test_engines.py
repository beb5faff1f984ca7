"""The engine laws over each engine, and what is particular to one."""

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
import pytest

from contracts.artifact import read_artifact
from contracts.tensors import ElementType
from edge_agent.errors import EngineMissing, ModelRefused
from edge_agent.inference.engine import Engine, load_engine
from edge_agent.inference.engines.onnxruntime_engine import OnnxruntimeEngine
from edge_agent.inference.engines.tflite_engine import (
    LITERT,
    TFLITE_RUNTIME,
    Runtime,
    TfliteEngine,
    find_runtime,
    is_dynamic_range,
)
from tests.builders import (
    INPUT,
    OUTPUT,
    TinyModel,
    a_tiny_onnx_artifact,
    a_tiny_tflite_artifact,
    onnx_bytes,
    tflite_bytes,
)
from tests.conformance.engine_laws import EngineLaws


class TestOnnxruntime(EngineLaws):
    def model_bytes(self) -> bytes:
        return onnx_bytes(self.tiny)

    def load(self, model: bytes) -> Engine:
        return OnnxruntimeEngine.load(model, threads=1)


class TestOnnxruntimeWithAFixedBatch(TestOnnxruntime):
    def model_bytes(self) -> bytes:
        return fixed_batch(onnx_bytes(self.tiny), rows=4)


class TestTflite(EngineLaws):
    def model_bytes(self) -> bytes:
        return tflite_bytes(self.tiny)

    def load(self, model: bytes) -> Engine:
        return TfliteEngine.load(model, threads=1)


def fixed_batch(model: bytes, *, rows: int) -> bytes:
    """Return the ONNX file with its batch fixed."""
    import onnx

    proto = onnx.load_from_string(model)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = rows
    return bytes(proto.SerializeToString())


def free_width(model: bytes) -> bytes:
    """Return the ONNX file with the size of its rows left open."""
    import onnx

    proto = onnx.load_from_string(model)
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
    return bytes(proto.SerializeToString())


def quantized(tiny: TinyModel, recipe_name: str) -> bytes:
    """Return the TFLite file after ai-edge-quantizer's recipe of that name."""
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(bytearray(tflite_bytes(tiny)))
    tool.load_quantization_recipe(getattr(recipe, recipe_name)())
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        rows = [{INPUT: row[None]} for row in tiny.rows(64)]
        ranges = tool.calibrate({"serving_default": rows}, num_threads=1) if tool.need_calibration else None
        return bytes(tool.quantize(ranges).quantized_model)


def test_the_manifests_format_chooses_the_engine() -> None:
    onnx_artifact = read_artifact(a_tiny_onnx_artifact())
    tflite_artifact = read_artifact(a_tiny_tflite_artifact())

    assert isinstance(load_engine(onnx_artifact.manifest, onnx_artifact.model), OnnxruntimeEngine)
    assert isinstance(load_engine(tflite_artifact.manifest, tflite_artifact.model), TfliteEngine)


def test_a_file_with_two_free_sizes_is_refused_with_what_to_do() -> None:
    with pytest.raises(ModelRefused, match="only its batch free"):
        OnnxruntimeEngine.load(free_width(onnx_bytes(TinyModel())), threads=1)


def test_a_missing_runtime_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)

    with pytest.raises(EngineMissing, match=r"edgeship\[onnxruntime\]"):
        OnnxruntimeEngine.load(onnx_bytes(TinyModel()), threads=1)
    with pytest.raises(EngineMissing, match=r"edgeship\[tflite\]"):
        find_runtime()


def test_litert_is_preferred() -> None:
    assert find_runtime().name == LITERT


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*preserve_all_tensors")
def test_an_int8_tensor_keeps_its_quantization() -> None:
    engine = TfliteEngine.load(quantized(TinyModel(), "static_wi8_ai8"), threads=1)

    assert [spec.element for spec in engine.inputs] == [ElementType.INT8]
    assert engine.inputs[0].quantization is not None
    assert engine.inputs[0].quantization.scale == pytest.approx(1 / 255, rel=0.2)


@pytest.mark.slow
def test_a_dynamic_range_file_is_refused_by_the_older_runtime_only() -> None:
    dynamic = quantized(TinyModel(features=32, hidden=64), "dynamic_wi8_afp32")
    older = Runtime(name=TFLITE_RUNTIME, open=find_runtime().open)

    with pytest.raises(ModelRefused, match="dynamic-range"):
        TfliteEngine.load(dynamic, threads=1, runtime=older)

    rows = TinyModel(features=32).rows(1)
    assert TfliteEngine.load(dynamic, threads=1).run({INPUT: rows})[OUTPUT].shape == (1, 3)


def test_a_float_file_is_no_dynamic_range_file() -> None:
    older = Runtime(name=TFLITE_RUNTIME, open=find_runtime().open)

    engine = TfliteEngine.load(tflite_bytes(TinyModel()), threads=1, runtime=older)

    assert engine.inputs[0].element is ElementType.FP32


def test_float_values_times_8_bit_weights_is_dynamic_range() -> None:
    def tensor(index: int, dtype: type[np.generic]) -> dict[str, object]:
        return {"name": str(index), "index": index, "dtype": dtype}

    tensors = [tensor(0, np.float32), tensor(1, np.int8), tensor(2, np.int8), tensor(3, np.int32)]
    hybrid = [{"op_name": "FULLY_CONNECTED", "inputs": [0, 1, -1], "outputs": [0]}]
    looked_up = [{"op_name": "EMBEDDING_LOOKUP", "inputs": [3, 1], "outputs": [0]}]
    full = [
        {"op_name": "QUANTIZE", "inputs": [0], "outputs": [2]},
        {"op_name": "FULLY_CONNECTED", "inputs": [2, 1], "outputs": [2]},
        {"op_name": "DEQUANTIZE", "inputs": [1], "outputs": [0]},
    ]

    assert is_dynamic_range(hybrid, tensors)  # type: ignore[arg-type]  # only what is looked at
    assert is_dynamic_range(looked_up, tensors)  # type: ignore[arg-type]  # only what is looked at
    assert not is_dynamic_range(full, tensors)  # type: ignore[arg-type]  # only what is looked at


def test_an_onnx_file_with_a_name_that_is_no_text_is_refused() -> None:
    damaged = onnx_bytes(TinyModel()).replace(b"probability", b"prob\xffbility")

    with pytest.raises(ModelRefused):
        OnnxruntimeEngine.load(damaged, threads=1)


def test_a_tflite_file_with_a_name_that_is_no_text_is_refused() -> None:
    damaged = tflite_bytes(TinyModel()).replace(b"probability", b"prob\xffbility")

    with pytest.raises(ModelRefused):
        TfliteEngine.load(damaged, threads=1)


def test_a_tflite_file_without_a_graph_is_refused_before_the_runtime_sees_it() -> None:
    whole = tflite_bytes(TinyModel())
    table = int.from_bytes(whole[:4], "little")
    layout = table - int.from_bytes(whole[table : table + 4], "little", signed=True)
    damaged = whole[: layout + 8] + bytes(2) + whole[layout + 10 :]

    with pytest.raises(ModelRefused, match="holds no graph"):
        TfliteEngine.load(damaged, threads=1)
