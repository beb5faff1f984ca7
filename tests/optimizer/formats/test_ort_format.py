"""ORT-format files: read without onnx, damaged ones refused in a line."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from contracts.tensors import ElementType
from optimizer.errors import ModelError
from optimizer.formats.ort_flatbuffer import Table, operators, read_tables, write_tables
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes.save_ort import SaveOrt
from tests.optimizer.formats.onnx_graphs import graph, node
from tests.optimizer.passes.nets import chain_net, residual_net
from tests.optimizer.passes.seeing import model_of


@cache
def an_ort_model() -> Model:
    """Return the chain net in the ORT format."""
    return SaveOrt().run(chain_net(), Observations())


def test_its_tensors_and_operators_are_read() -> None:
    spec = an_ort_model().spec

    assert [(one.name, one.element, one.shape) for one in spec.inputs] == [("x", ElementType.FP32, (-1, 3, 12, 12))]
    assert [(one.name, one.shape) for one in spec.outputs] == [("y", (-1, 4))]
    assert {"FusedConv", "Gemm", "GlobalAveragePool"} <= spec.operators


def test_a_file_is_known_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    an_ort_model().save(tmp_path / "model.ort")
    an_ort_model().save(tmp_path / "model.onnx")

    loaded = [Model.load(tmp_path / name, name="net") for name in ("model.ort", "model.onnx")]

    assert [model.format for model in loaded] == [Format.ORT, Format.ORT]
    assert loaded[0].spec == an_ort_model().spec
    assert an_ort_model().suffix == ".ort"


def test_bytes_that_a_manifest_calls_onnx_are_read_as_what_they_are() -> None:
    assert Model.from_bytes(Format.ONNX, an_ort_model().content, name="net") == an_ort_model()


def test_shapes_that_the_file_leaves_open_are_observed() -> None:
    reshaped = graph(
        node("Shape", "x", "s", start=0, end=1),
        node("Concat", "s k", "t", axis=0),
        node("Reshape", "x t", "y"),
        inputs={"x": (1, 2, 3)},
        constants={"k": np.asarray([6], dtype=np.int64)},
    )
    plain = model_of(reshaped)

    assert SaveOrt().run(plain, Observations()).outputs == plain.outputs


@pytest.mark.parametrize("cut", [8, 100, 5000])
def test_a_file_that_is_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(ModelError, match=r"net: .*; give the \.onnx file that it was made from"):
        Model.from_bytes(Format.ORT, an_ort_model().content[:cut], name="net")


def test_what_is_no_such_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no ORTM at byte 4"):
        read_tables(b"something else")


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_damage_is_an_error_in_words_or_harmless(place: int) -> None:
    content = bytearray(an_ort_model().content)
    content[place] ^= 0xFF

    with contextlib.suppress(ValueError):
        read_tables(bytes(content))


def test_writing_what_was_read_gives_the_same_tables_and_then_the_same_bytes() -> None:
    tables = read_tables(SaveOrt().run(residual_net(), Observations()).content)

    content = write_tables(tables)

    assert read_tables(content) == tables
    assert write_tables(read_tables(content)) == content


def test_the_order_of_what_has_no_order_does_not_matter() -> None:
    tables = read_tables(an_ort_model().content)

    assert write_tables(reversed_graph(tables)) == write_tables(tables)


def reversed_graph(root: Table) -> Table:
    """Return the tables with weights and tensors in the other order."""
    model = root[1]
    assert isinstance(model, dict)
    inner = model[7]
    assert isinstance(inner, dict)
    turned = {
        slot: value[::-1] if slot in (0, 1) and isinstance(value, list) else value for slot, value in inner.items()
    }
    return {**root, 1: {**model, 7: turned}}


def test_a_field_that_is_not_known_is_refused_rather_than_lost() -> None:
    import flatbuffers

    builder = flatbuffers.Builder(64)
    builder.StartObject(9)
    builder.PrependInt32Slot(8, 7, 0)
    builder.Finish(builder.EndObject(), b"ORTM")

    with pytest.raises(ValueError, match="InferenceSession has the field 8, which this version does not know"):
        read_tables(bytes(builder.Output()))


def test_operators_of_branches_count() -> None:
    relu: list[Table] = [{5: b"Relu"}]
    erf: list[Table] = [{5: b"Erf"}]
    then: Table = {0: b"then", 7: {2: relu}}
    others: list[Table] = [{2: erf}]
    branches: list[Table] = [then, {0: b"others", 12: others}]
    choosing: list[Table] = [{5: b"If", 10: branches}]

    assert operators({1: {7: {2: choosing}}}) == {"If", "Relu", "Erf"}
