"""Models: what loads, what is refused, and with which way out."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

from contracts.ids import digest_of, parse_model_name
from optimizer.errors import ModelError
from optimizer.model import Format, Model, slug
from tests.optimizer.builders import a_torch_mlp, an_onnx_mlp


def test_an_onnx_file_loads_with_its_tensors_digest_and_name(tmp_path: Path) -> None:
    path = tmp_path / "Weld Defect_v2.onnx"
    an_onnx_mlp().save(path)

    model = Model.load(path)

    assert (model.format, model.name) == (Format.ONNX, "weld-defect-v2")
    assert [(spec.name, spec.shape) for spec in model.inputs] == [("row", (-1, 12))]
    assert [(spec.name, spec.shape) for spec in model.outputs] == [("scores", (-1, 3))]
    assert model.digest == digest_of(path.read_bytes())
    assert model.spec.operators == {"Gemm", "Relu"}


@pytest.mark.slow
def test_a_module_keeps_its_input_names_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mlp.pt2"
    a_torch_mlp().save(path)

    model = Model.load(path)

    assert model.format is Format.TORCH
    assert [(spec.name, spec.shape) for spec in model.inputs] == [("row", (-1, 12))]
    assert model.digest == a_torch_mlp().digest


@pytest.mark.slow
def test_a_module_that_torch_cannot_follow_is_refused_with_its_name() -> None:
    import torch

    net = torch.nn.Linear(3, 2)

    with pytest.raises(ModelError, match=r"Linear.*check the shapes"):
        Model.from_torch(net, inputs={"row": (1, 7)}, name="wrong")


@pytest.mark.slow
def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(ModelError, match=r"dict is no torch\.nn\.Module"):
        Model.from_torch({}, inputs={"row": (1, 7)}, name="wrong")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read model .*absent\.onnx: No such file"):
        Model.load(tmp_path / "absent.onnx")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.touch()

    with pytest.raises(ModelError, match="is empty"):
        Model.load(path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("these are notes, not a model\n", encoding="utf-8")

    with pytest.raises(ModelError, match="not an ONNX model"):
        Model.load(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_onnx_file_is_refused(tmp_path: Path, share: float) -> None:
    content = an_onnx_mlp().content
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(ModelError, match="ONNX"):
        Model.load(path)


def test_a_truncated_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.pt2"
    path.write_bytes(b"PK\x03\x04" + b"\0" * 300)

    with pytest.raises(ModelError, match="cut short or damaged"):
        Model.load(path)


def test_a_pickle_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))

    with pytest.raises(ModelError, match=r"at most weights.*--builder"):
        Model.load(path)


def test_a_pickle_in_a_zip_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02.")

    with pytest.raises(ModelError, match=r"at most weights.*--builder"):
        Model.load(path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file, as Keras writes; convert it"),
        (b"GGUF" + bytes(40), "a GGUF file"),
        (b"\x93NUMPY" + bytes(40), "a NumPy array"),
    ],
)
def test_a_file_of_another_world_is_named(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=line):
        Model.load(path)


@pytest.mark.parametrize("suffix", ["tflite", "pt2", "safetensors", "pt"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"something else entirely")

    with pytest.raises(ModelError, match=f"is no {suffix} file"):
        Model.load(path)


def test_a_torchscript_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02.")
        archive.writestr("model/constants.pkl", b"\x80\x02.")

    with pytest.raises(ModelError, match="TorchScript"):
        Model.load(path)


def test_any_other_zip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"")

    with pytest.raises(ModelError, match=r"no torch\.export program"):
        Model.load(path)


def test_saving_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot write model"):
        an_onnx_mlp().save(tmp_path / "no" / "such" / "folder.onnx")


@pytest.mark.parametrize("text", ["ResNet20 (final)", "__", "Ä", "a" * 90, "-x-"])
def test_any_file_name_gives_a_valid_model_name(text: str) -> None:
    assert parse_model_name(slug(text))
