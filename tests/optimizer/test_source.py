"""The door for models: functions, weights with a builder, files; batches, shapes, and what is said about them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import ModelError
from optimizer.formats.session import open_session
from optimizer.model import Model
from optimizer.pass_ import Observations
from optimizer.passes.export_onnx import ExportOnnx
from optimizer.source import open_model, parse_input

NETS = '''
import torch
from torch import nn


class Recurrent(nn.Module):
    def __init__(self, cell, keeps_state=False):
        super().__init__()
        self.cell = cell(6, 16, num_layers=2, batch_first=True)
        self.head = nn.Linear(16, 3)
        self.keeps_state = keeps_state

    def forward(self, x):
        steps, state = self.cell(x)
        scores = self.head(steps[:, -1])
        return (scores, state) if self.keeps_state else scores


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids, mask):
        return self.layers(self.words(ids), src_key_padding_mask=mask == 0).mean(1)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.box, self.score = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, image):
        seen = self.stem(image).relu()
        rows = seen.shape[0]
        boxes = self.box(seen).permute(0, 2, 3, 1).reshape(rows, -1, 4)
        return {"boxes": boxes, "scores": self.score(seen).permute(0, 2, 3, 1).reshape(rows, -1, 2)}


class ByBatch(nn.Module):
    """Does something else for one row than for several."""

    def forward(self, x):
        return x * 2 if x.shape[0] > 1 else x.reshape(1, 2, 2)


class TwoRows(nn.Module):
    """Reshapes as if there were always two rows."""

    def forward(self, x):
        return x.reshape(2, 2, -1)


def lstm():
    torch.manual_seed(0)
    return Recurrent(nn.LSTM), torch.zeros(1, 10, 6)


def gru():
    torch.manual_seed(0)
    return Recurrent(nn.GRU), (torch.zeros(1, 10, 6),)


def with_state():
    return Recurrent(nn.GRU, keeps_state=True), torch.zeros(1, 10, 6)


def encoder():
    torch.manual_seed(0)
    return Encoder(), {"ids": torch.zeros(1, 12, dtype=torch.int64), "mask": torch.ones(1, 12, dtype=torch.int64)}


def detector():
    torch.manual_seed(0)
    return Detector()


detector.example_inputs = {"image": torch.zeros(1, 3, 32, 24)}


def by_batch():
    return ByBatch(), torch.zeros(1, 4)


def two_rows():
    return TwoRows(), torch.zeros(2, 4)


def mlp():
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


mlp.example_inputs = torch.zeros(1, 5)


def wide_mlp():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)), torch.zeros(1, 5)


def deep_mlp():
    return nn.Sequential(*mlp(), nn.ReLU(), nn.Linear(2, 2)), torch.zeros(1, 5)


def program():
    return torch.export.export(mlp().eval(), (torch.zeros(1, 5),))


def nothing():
    return {"not": "a network"}


def without_shapes():
    return mlp()


def broken():
    raise ZeroDivisionError("no such luck")


def not_finite():
    net = mlp()
    with torch.no_grad():
        net[3].weight[1, 2] = float("nan")
    return net, torch.zeros(1, 5)
'''


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    """Return a file of networks."""
    path = tmp_path / "nets.py"
    path.write_text(NETS, encoding="utf-8")
    return path


def _saved(nets: Path, name: str, *, prefix: str = "", under: str = "") -> Path:
    """Return a file with the seeded MLP's weights, as a trainer might save them."""
    import torch

    torch.manual_seed(4)
    weights = torch.nn.Sequential(
        torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    ).state_dict()
    named = {f"{prefix}{key}": value for key, value in weights.items()}
    path = nets.parent / name
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(named, path)
    else:
        torch.save({under: named, "epoch": 3} if under else named, path)
    return path


def _agrees_with_its_export(model: Model) -> bool:
    """Return whether the ONNX file of a program answers as the program does, for three rows."""
    exported = ExportOnnx().run(model, Observations())
    chance = np.random.default_rng(0)
    rows = {
        spec.name: chance.normal(size=(3, *spec.shape[1:])).astype(np.float32)
        if spec.element is ElementType.FP32
        else np.ones((3, *spec.shape[1:]), np.int64)
        for spec in model.inputs
    }
    ours, theirs = open_session(model).run(rows), open_session(exported).run(rows)
    return ours.keys() == theirs.keys() and all(np.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "inputs", "outputs"),
    [
        ("lstm", [("x", (-1, 10, 6))], [("output", (-1, 3))]),
        ("gru", [("x", (-1, 10, 6))], [("output", (-1, 3))]),
        ("encoder", [("ids", (-1, 12)), ("mask", (-1, 12))], [("output", (-1, 32))]),
        ("detector", [("image", (-1, 3, 32, 24))], [("boxes", (-1, 384, 4)), ("scores", (-1, 384, 2))]),
    ],
)
def test_networks_of_all_kinds_come_in_with_a_free_batch(
    nets: Path, function: str, inputs: list[object], outputs: list[object]
) -> None:
    model = open_model(f"{nets}:{function}")

    assert [(spec.name, spec.shape) for spec in model.inputs] == inputs
    assert [(spec.name, spec.shape) for spec in model.outputs] == outputs
    assert _agrees_with_its_export(model)


@pytest.mark.slow
def test_whole_numbers_stay_whole_numbers(nets: Path) -> None:
    model = open_model(f"{nets}:encoder")

    assert {spec.element for spec in model.inputs} == {ElementType.INT64}


@pytest.mark.slow
def test_a_network_that_treats_one_row_otherwise_is_fixed_to_one_row(nets: Path) -> None:
    said: list[str] = []

    model = open_model(f"{nets}:by_batch", told=said.append)

    assert (model.inputs[0].shape, model.outputs[0].shape) == ((1, 4), (1, 2, 2))
    assert re.match(r"by-batch: its batch is fixed at 1, .*answers differently for a batch of 1", said[0])


@pytest.mark.slow
def test_a_network_of_two_rows_is_fixed_to_two_rows(nets: Path) -> None:
    said: list[str] = []

    model = open_model(f"{nets}:two_rows", told=said.append)

    assert (model.inputs[0].shape, model.outputs[0].shape) == ((2, 4), (2, 2, 2))
    assert "fixed at 2" in said[0]


@pytest.mark.slow
def test_an_output_that_is_not_batch_first_is_refused(nets: Path) -> None:
    with pytest.raises(ModelError, match=r"output 'output_1' has shape \(2, 1, 16\).*batch first"):
        open_model(f"{nets}:with_state")


@pytest.mark.slow
def test_shapes_may_be_given_instead_of_examples(nets: Path) -> None:
    model = open_model(f"{nets}:without_shapes", inputs=[parse_input("row=1,5")], name="table")

    assert [(spec.name, spec.shape) for spec in model.inputs] == [("row", (-1, 5))]
    assert model.name == "table"


@pytest.mark.slow
def test_a_program_keeps_its_own_names(nets: Path) -> None:
    model = open_model(f"{nets}:program")

    assert [(spec.name, spec.shape) for spec in model.inputs] == [("input", (1, 5))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("nothing", "returned dict; return a torch.nn.Module"),
        ("without_shapes", "inputs of .*nets.py:without_shapes are not known: give --shape"),
        ("broken", r"broken\(\) failed: ZeroDivisionError: no such luck \(nets\.py, line \d+\)"),
        ("ltsm", "has no function 'ltsm'; it has lstm"),
    ],
)
def test_a_function_that_makes_no_network_is_one_line(nets: Path, function: str, line: str) -> None:
    with pytest.raises(ModelError, match=line) as refused:
        open_model(f"{nets}:{function}")

    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.safetensors"])
def test_weights_go_into_the_network_that_the_builder_makes(nets: Path, name: str) -> None:
    import torch

    path = _saved(nets, name)

    model = open_model(str(path), builder=f"{nets}:mlp")

    torch.manual_seed(4)
    wanted = torch.nn.Sequential(
        torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    ).eval()
    rows = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    answers = open_session(model).run({"input": rows})["output"].astype(np.float32)
    np.testing.assert_allclose(answers, wanted(torch.from_numpy(rows)).detach().numpy(), atol=1e-6)
    assert model.name == "weights"


@pytest.mark.slow
def test_a_prefix_that_training_left_is_taken_off_with_a_word(nets: Path) -> None:
    said: list[str] = []
    path = _saved(nets, "parallel.pt", prefix="module.")

    open_model(str(path), builder=f"{nets}:mlp", told=said.append)

    assert said == ["every key begins with 'module.', which the network's do not: it is taken off"]


@pytest.mark.slow
@pytest.mark.parametrize("under", ["state_dict", "model", "model_state_dict"])
def test_a_checkpoint_gives_its_weights_with_a_word(nets: Path, under: str) -> None:
    said: list[str] = []
    path = _saved(nets, "checkpoint.pt", under=under)

    open_model(str(path), builder=f"{nets}:mlp", told=said.append)

    assert said == [f"checkpoint.pt is a checkpoint: its {under!r} is taken, the rest ('epoch') is left"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("builder", "line"),
    [
        ("wide_mlp", r"shapes differ: '0\.weight' is \(4, 5\), wanted \(8, 5\)"),
        ("deep_mlp", r"it lacks '5\.weight' \(nearest: '\d\.weight'\), '5\.bias'"),
        ("lstm", r"it lacks 'cell\.weight_ih_l0'.*the network has no '0\.weight'"),
        ("nothing", "returned dict"),
    ],
)
def test_weights_of_another_network_are_refused_with_the_keys(nets: Path, builder: str, line: str) -> None:
    path = _saved(nets, "weights.pt")

    with pytest.raises(ModelError, match=line):
        open_model(str(path), builder=f"{nets}:{builder}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_weights_without_a_builder_say_what_is_missing(nets: Path, name: str) -> None:
    path = _saved(nets, name)

    with pytest.raises(ModelError, match=r"holds weights without the network: name the function"):
        open_model(str(path))


@pytest.mark.slow
def test_a_pickled_network_is_refused_with_and_without_a_builder(nets: Path) -> None:
    import torch

    path = nets.parent / "whole.pt"
    torch.save(torch.nn.Linear(5, 2), path)

    with pytest.raises(ModelError, match=r"pickled module.*state_dict"):
        open_model(str(path))
    with pytest.raises(ModelError, match=r"pickled module.*state_dict"):
        open_model(str(path), builder=f"{nets}:mlp")


def test_a_builder_for_a_whole_model_is_refused(nets: Path) -> None:
    from tests.optimizer.builders import an_onnx_mlp

    path = nets.parent / "mlp.onnx"
    an_onnx_mlp().save(path)

    with pytest.raises(ModelError, match="holds a whole model; leave the builder"):
        open_model(str(path), builder="nets:mlp")


def test_a_builder_beside_a_function_is_refused(nets: Path) -> None:
    with pytest.raises(ModelError, match="makes the network itself"):
        open_model(f"{nets}:lstm", builder="nets:mlp")


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_named_when_the_model_comes_in(nets: Path) -> None:
    said: list[str] = []

    model = open_model(f"{nets}:not_finite", told=said.append)

    assert model.spec.not_finite == ("3.weight",)
    assert len(said) == 1
    assert "'3.weight' holds NaN or infinite values: it runs, but cannot be quantized" in said[0]


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("image=1,3,320,320", TensorSpec(name="image", element=ElementType.FP32, shape=(1, 3, 320, 320))),
        ("ids = 1, 128 : int64", TensorSpec(name="ids", element=ElementType.INT64, shape=(1, 128))),
        ("x:0=-1,4", TensorSpec(name="x:0", element=ElementType.FP32, shape=(-1, 4))),
    ],
)
def test_an_input_is_spelt_with_its_name_sizes_and_type(text: str, spec: TensorSpec) -> None:
    assert parse_input(text) == spec


@pytest.mark.parametrize("text", ["image", "image=", "=1,3", "image=1,x", "image=1,3:float99", "image=1,0,3", "i=1,-3"])
def test_an_input_spelt_otherwise_is_one_line(text: str) -> None:
    with pytest.raises(ModelError, match=r"sizes|NAME=SIZES"):
        parse_input(text)
