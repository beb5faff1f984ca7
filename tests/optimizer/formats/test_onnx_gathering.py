"""ONNX weights in files beside the model: taken in where they lie in its folder, refused wherever else they point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import ModelError
from optimizer.formats.onnx_gathering import gather
from optimizer.formats.session import open_session
from optimizer.model import Model
from tests.optimizer.builders import an_onnx_mlp, rows
from tests.optimizer.formats.broken_onnx import BROKEN, unsorted

W1_BYTES = 12 * 16 * 4


def _pointing(folder: Path, **entries: dict[str, str]) -> Path:
    """Return a model file whose named weights lie elsewhere, as each entry says."""
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    weights: dict[str, Any] = {item.name: item for item in proto.graph.initializer}
    for name, entry in entries.items():
        weights[name].ClearField("raw_data")
        weights[name].data_location = TensorProto.EXTERNAL
        for key, value in entry.items():
            weights[name].external_data.add(key=key, value=value)
    path = folder / "mlp.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def _weight(name: str) -> bytes:
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    return bytes(next(numpy_helper.to_array(item).tobytes() for item in proto.graph.initializer if item.name == name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for a model, with a secret outside of it."""
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    inside = tmp_path / "model"
    inside.mkdir()
    return inside


def test_weights_beside_the_model_are_taken_in(folder: Path) -> None:
    (folder / "weights.data").write_bytes(b"#" * 64 + _weight("w1") + _weight("b1"))
    first = {"location": "weights.data", "offset": "64", "length": str(W1_BYTES)}
    path = _pointing(folder, w1=first, b1={"location": "weights.data", "offset": str(64 + W1_BYTES)})

    model = Model.load(path)

    given = {"row": rows((12,), count=4)}
    np.testing.assert_array_equal(
        open_session(model).run(given)["scores"], open_session(an_onnx_mlp()).run(given)["scores"]
    )


def test_weights_in_a_folder_below_are_taken_in(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "w1.bin").write_bytes(_weight("w1"))

    model = Model.load(_pointing(folder, w1={"location": "parts/w1.bin"}))

    assert _weight("w1") in model.content


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin", "", "..\\secret.bin", "weights.bin\0"]
)
def test_weights_that_escape_the_folder_are_refused(folder: Path, location: str) -> None:
    with pytest.raises(ModelError, match=r"weight 'w1' lies in .*outside of the model's folder"):
        Model.load(_pointing(folder, w1={"location": location}))


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "link.bin").symlink_to(folder.parent / "secret.bin")

    with pytest.raises(ModelError, match="leads out of the model's folder"):
        Model.load(_pointing(folder, w1={"location": "link.bin"}))


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "real.bin").write_bytes(_weight("w1"))
    (folder / "link.bin").symlink_to(folder / "real.bin")

    assert _weight("w1") in Model.load(_pointing(folder, w1={"location": "link.bin"})).content


def test_links_in_a_circle_are_missing(folder: Path) -> None:
    (folder / "a.bin").symlink_to(folder / "b.bin")
    (folder / "b.bin").symlink_to(folder / "a.bin")

    with pytest.raises(ModelError, match="missing"):
        Model.load(_pointing(folder, w1={"location": "a.bin"}))


def test_missing_weights_are_named(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"'weights\.data', which is missing; copy that file beside the model"):
        Model.load(_pointing(folder, w1={"location": "weights.data"}))


def test_weights_cut_short_are_named(folder: Path) -> None:
    (folder / "weights.data").write_bytes(_weight("w1")[:-1])

    with pytest.raises(ModelError, match=r"reaches to byte 768 of weights\.data, which has 767"):
        Model.load(_pointing(folder, w1={"location": "weights.data"}))


def test_weights_that_share_bytes_are_refused(folder: Path) -> None:
    (folder / "weights.data").write_bytes(_weight("w1"))

    with pytest.raises(ModelError, match=r"weights '\w1' and '\w1' share bytes"):
        Model.load(_pointing(folder, w1={"location": "weights.data"}, b1={"location": "./weights.data"}))


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"offset": "-4"}, "has offset '-4', which is no number"),
        ({"offset": "1e3"}, "has offset '1e3'"),
        ({"length": "4"}, "claims 768 bytes and points to 4"),
        ({"offset": "9" * 40}, "which is no number"),
        ({"offset": "999999999999999999"}, "reaches to byte"),
    ],
)
def test_strange_numbers_are_refused(folder: Path, entry: dict[str, str], line: str) -> None:
    (folder / "weights.data").write_bytes(_weight("w1"))

    with pytest.raises(ModelError, match=line):
        Model.load(_pointing(folder, w1={"location": "weights.data", **entry}))


def test_a_whole_model_keeps_its_bytes(folder: Path) -> None:
    content = an_onnx_mlp().content

    assert gather(content, "mlp", folder=folder) is content


def test_sorting_changes_the_order_and_nothing_else(folder: Path) -> None:
    before = onnx.load_model_from_string(unsorted())

    after = onnx.load_model_from_string(gather(unsorted(), "given", folder=folder))

    assert [entry.op_type for entry in after.graph.node] == ["Relu", "Tanh"]
    assert sorted(map(str, after.graph.node)) == sorted(map(str, before.graph.node))


@pytest.mark.parametrize(
    ("name", "shape", "line"),
    [
        ("y", (1, 3, 8, 8), "has no input 'y'; its inputs are x"),
        ("x", (1, 3, 8), "has 4 sizes, and 3 were given"),
        ("x", (1, 1, 8, 8), "has size 3 at place 1, not 1"),
    ],
)
def test_sizes_that_contradict_the_file_are_refused(folder: Path, name: str, shape: tuple[int, ...], line: str) -> None:
    wanted = TensorSpec(name=name, element=ElementType.FP32, shape=shape)

    with pytest.raises(ModelError, match=line):
        gather(BROKEN["free sizes"][0](), "given", folder=folder, inputs=[wanted])
