"""An ONNX file read without its weights: they are views into it, and nothing is believed that onnx would refuse."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.errors import ModelError
from optimizer.formats.onnx_graphs import skeleton
from optimizer.model import Format, Model
from tests.optimizer.formats.onnx_graphs import graph, node
from tests.optimizer.formats.onnx_graphs import weights as normal

DecodeError = importlib.import_module("google.protobuf.message").DecodeError  # protobuf tells no types
LARGE = normal(64, 64)
SMALL = normal(64)
CONTENT = graph(
    node("MatMul", "x w", "p"), node("Add", "p b", "y"), inputs={"x": (1, 64)}, constants={"w": LARGE, "b": SMALL}
)


def changed(**values: Any) -> bytes:
    """Return the file with fields of its large weight set."""
    proto = onnx.load_model_from_string(CONTENT)
    weight = next(item for item in proto.graph.initializer if item.name == "w")
    for name, value in values.items():
        setattr(weight, name, value)
    return bytes(proto.SerializeToString())


def test_large_weights_are_views_and_all_else_is_in_the_proto() -> None:
    found = skeleton(CONTENT)

    assert found is not None
    assert list(found.weights) == ["w"]
    assert np.array_equal(found.weights["w"], LARGE)
    assert not found.weights["w"].flags.owndata
    restored = next(item for item in found.proto.graph.initializer if item.name == "w")
    restored.raw_data = found.weights["w"].tobytes()
    assert found.proto == onnx.load_model_from_string(CONTENT)


@pytest.mark.parametrize("kind", [onnx.TensorProto.INT32, onnx.TensorProto.FLOAT16])
def test_weights_that_are_no_whole_floats_stay_in_the_proto(kind: int) -> None:
    found = skeleton(changed(data_type=kind))

    assert found is not None
    assert found.weights == {}
    assert found.proto == onnx.load_model_from_string(changed(data_type=kind))


def test_a_file_of_two_graphs_is_left_to_onnx() -> None:
    assert skeleton(CONTENT + CONTENT) is None


def test_a_file_that_is_all_fields_is_left_to_onnx() -> None:
    assert skeleton(CONTENT + b"\x08\x01" * 100_000) is None


@given(place=st.integers(0, len(CONTENT) - 1), byte=st.integers(0, 255), kept=st.integers(0, len(CONTENT)))
def test_a_damaged_file_is_read_as_onnx_reads_it_or_not_at_all(place: int, byte: int, kept: int) -> None:
    damaged = (CONTENT[:place] + bytes([byte]) + CONTENT[place + 1 :])[: max(kept, place)]

    light, whole = read(damaged, light=True), read(damaged, light=False)

    assert light in (None, whole)


def test_a_nan_in_a_large_weight_is_found() -> None:
    broken = LARGE.copy()
    broken[3, 5] = np.nan

    model = Model.from_bytes(Format.ONNX, changed(raw_data=broken.tobytes()), name="broken")

    assert model.spec.not_finite == ("w",)


def test_a_large_weight_that_holds_less_than_it_claims_is_refused() -> None:
    with pytest.raises(ModelError, match="claims 4,096 values"):
        Model.from_bytes(Format.ONNX, changed(raw_data=LARGE.tobytes()[:-8]), name="short")


def read(content: bytes, *, light: bool) -> bytes | None:
    """Return what was read, its weights put back, written as onnx writes it; None where it is not read."""
    try:
        found = skeleton(content) if light else None
        proto = onnx.load_model_from_string(content) if found is None else found.proto
    except DecodeError:
        return None
    weights = {} if found is None else found.weights
    for item in proto.graph.initializer:
        if item.name in weights:
            item.raw_data = weights[item.name].tobytes()
    return bytes(proto.SerializeToString(deterministic=True))
