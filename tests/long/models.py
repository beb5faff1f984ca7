"""Models to damage: small valid files of each kind, and ONNX files in which one thing is not what it should be."""

from __future__ import annotations

import io
import json
import re
import wave
import zipfile
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.long.fuzzing import INTEGERS

_SIZES = st.sampled_from([-(2**63), -(2**31), -1, 0, 1, 2, 3, 7, 255, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1])
_OPERATORS = st.sampled_from(
    [
        "Conv",
        "MatMul",
        "Gemm",
        "Reshape",
        "Expand",
        "Tile",
        "ConstantOfShape",
        "Range",
        "Pad",
        "Resize",
        "Slice",
        "Gather",
        "Concat",
        "Transpose",
        "LSTM",
        "If",
        "Loop",
        "Scan",
        "TopK",
        "NonZero",
        "OneHot",
        "Identity",
        "Cast",
    ]
)


@cache
def a_state_dict() -> bytes:
    """Return two layers' weights as ``torch.save`` writes them."""
    import torch

    buffer = io.BytesIO()
    torch.save(torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4)).state_dict(), buffer)
    return buffer.getvalue()


@cache
def an_old_state_dict() -> bytes:
    """Return the same in the form of before PyTorch 1.6: one pickle after the other."""
    import torch

    buffer = io.BytesIO()
    torch.save(torch.nn.Linear(5, 4).state_dict(), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@cache
def a_safetensors_file() -> bytes:
    """Return two tensors."""
    from safetensors.numpy import save

    return save({"a": np.ones((3, 4), np.float32), "b": np.zeros(7, np.int64)})


@cache
def a_program() -> bytes:
    """Return a ``.pt2`` archive of an MLP."""
    from tests.optimizer.builders import a_torch_mlp

    return a_torch_mlp().content


@cache
def a_varied_graph() -> bytes:
    """Return an ONNX file with a convolution, a recurrence, a branch and shape arithmetic."""
    chance = np.random.default_rng(3)
    branch = helper.make_graph(
        [helper.make_node("Relu", ["flat"], ["chosen"])], "branch", [], [helper.make_tensor_value_info("chosen", 1, [])]
    )
    branch.output[0].type.tensor_type.ClearField("shape")
    branch.output[0].type.tensor_type.shape.dim.add(dim_param="batch")
    branch.output[0].type.tensor_type.shape.dim.add(dim_value=24)
    constants: dict[str, Any] = {
        "w": chance.normal(size=(4, 2, 3, 3)).astype(np.float32),
        "pads": np.array([0, 0, 0, 0, 0, 0, 0, 0], np.int64),
        "shape": np.array([0, 4, 6], np.int64),
        "flat_shape": np.array([-1, 24], np.int64),
        "yes": np.array(True),
        "w2": chance.normal(size=(24, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"], mode="constant"),
        helper.make_node(
            "Conv", ["padded", "w"], ["c"], kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], group=1
        ),
        helper.make_node("MaxPool", ["c"], ["p"], kernel_shape=[2, 1], strides=[2, 1]),
        helper.make_node("Reshape", ["p", "shape"], ["line"]),
        helper.make_node("Reshape", ["line", "flat_shape"], ["flat"]),
        helper.make_node("If", ["yes"], ["branched"], then_branch=branch, else_branch=branch),
        helper.make_node("MatMul", ["branched", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "varied",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 6, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    proto: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def strange_graphs() -> st.SearchStrategy[bytes]:
    """Return the varied graph with a few of its numbers, operators or edges replaced."""
    changes = st.lists(st.tuples(st.integers(0, 10**6), _SIZES, _OPERATORS, INTEGERS), min_size=1, max_size=3)
    return changes.map(_changed)


def _changed(changes: list[tuple[int, int, str, int]]) -> bytes:
    proto = onnx.load_model_from_string(a_varied_graph())
    for place, size, operator, number in changes:
        graph = proto.graph
        entry = graph.node[place % len(graph.node)]
        constant = graph.initializer[place % len(graph.initializer)]
        match place % 7:
            case 0:
                entry.op_type = operator
            case 1 if entry.attribute:
                attribute = entry.attribute[number % len(entry.attribute)]
                attribute.ints[:] = [size] * max(1, len(attribute.ints))
                attribute.i = size
            case 2 if constant.dims:
                constant.dims[number % len(constant.dims)] = size
            case 3:
                values = graph.initializer[1 + place % 3]
                values.raw_data = np.full(len(values.raw_data) // 8, size, np.int64).tobytes()
            case 4:
                names = [name for other in graph.node for name in (*other.input, *other.output)]
                entry.input[number % len(entry.input)] = names[size % len(names)]
            case 5:
                dims = (graph.input[0], graph.output[0])[number % 2].type.tensor_type.shape.dim
                dims[place % len(dims)].dim_value = size
            case _:
                constant.data_type = abs(number) % 30
    return bytes(proto.SerializeToString())


@cache
def a_tflite_convnet() -> bytes:
    """Return a convolution, a mean and a flattening over an image."""
    from tests.optimizer.formats.test_tflite_format import a_float_file

    return a_float_file()


def strange_safetensors() -> st.SearchStrategy[bytes]:
    """Return files whose header says strange things of the same bytes."""
    shapes = st.lists(_SIZES, max_size=4)
    offsets = st.lists(_SIZES, min_size=2, max_size=2) | st.just([0, 48])
    kinds = st.sampled_from(["F32", "F64", "I8", "BF16", "BOOL", "F8_E4M3", "nonsense"])
    entry = st.fixed_dictionaries({"dtype": kinds, "shape": shapes, "data_offsets": offsets})
    return st.dictionaries(st.text(max_size=8), entry, max_size=3).map(_safetensors)


def _safetensors(header: Mapping[str, object]) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(104)


def strange_programs() -> st.SearchStrategy[bytes]:
    """Return archives of which one number or word in one JSON member is replaced."""
    values = _SIZES | st.text(max_size=12) | st.none() | st.booleans()
    return st.tuples(st.integers(0, 10**6), values).map(lambda change: _program(*change))


def _program(place: int, value: object) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(a_program())) as whole, zipfile.ZipFile(result, "w") as changed:
        told = {name: whole.read(name) for name in whole.namelist()}
        spelt = sorted(name for name in told if name.endswith(".json"))
        name = spelt[place % len(spelt)]
        told[name] = _with_value(told[name], place, value)
        for member, content in told.items():
            changed.writestr(member, content)
    return result.getvalue()


def _with_value(text: bytes, place: int, value: object) -> bytes:
    found = list(re.finditer(rb'(?<=: )(?:-?\d+|"[^"]*"|true|false|null)', text))
    if not found:
        return text
    hit = found[place // 7 % len(found)]
    return text[: hit.start()] + json.dumps(value).encode() + text[hit.end() :]


def strange_places() -> st.SearchStrategy[dict[str, str]]:
    """Return what an ONNX tensor may say of where its values lie."""
    folders = [
        "weights.bin",
        "./weights.bin",
        "link.bin",
        "../secret.bin",
        "/etc/hostname",
        "a/../weights.bin",
        "",
        ".",
    ]
    numbers = st.sampled_from(["0", "1", "768", "1999", "-1", "1e3", " 8", "99999999999999999999"]) | st.text(
        max_size=6
    )
    optional = {"offset": numbers, "length": numbers | st.just("768")}
    return st.fixed_dictionaries({"location": st.sampled_from(folders) | st.text(max_size=20)}, optional=optional)


def weights_beside(entry: dict[str, str]) -> bytes:
    """Return an MLP whose first weight, 768 bytes, lies where the entry says."""
    from tests.optimizer.builders import an_onnx_mlp

    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in entry.items():
        weight.external_data.add(key=key, value=value)
    return bytes(proto.SerializeToString())


@cache
def an_npz_file() -> bytes:
    """Return rows with labels, one array compressed."""
    buffer = io.BytesIO()
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    np.savez_compressed(buffer, x=rows, label=np.arange(20) % 3)
    return buffer.getvalue()


def a_csv_file() -> bytes:
    """Return a table of three columns and a label."""
    lines = [f"{place / 7:.3f},{place * 2},-{place}e-3,{place % 3}" for place in range(30)]
    return "\n".join(["a,b,c,label", *lines, ""]).encode()


@cache
def a_wav_file() -> bytes:
    """Return a clip of 64 samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sink:
        sink.setnchannels(1)
        sink.setsampwidth(2)
        sink.setframerate(3_200)
        sink.writeframes(np.arange(64, dtype="<i2").tobytes())
    return buffer.getvalue()
