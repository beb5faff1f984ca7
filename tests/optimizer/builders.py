"""Small valid things for the optimizer's tests: seeded models, data and profiles."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from contracts.ids import ProfileName
from contracts.manifest import ModelFormat
from device_profiles.profile import DeviceClass, DeviceProfile
from optimizer.data.dataset import Dataset
from optimizer.model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray


def a_profile(
    *, formats: tuple[ModelFormat, ...] = (ModelFormat.ONNX,), full_int8: bool = False, name: str = "test-board"
) -> DeviceProfile:
    """Return a board with 1 GB of memory that reads the formats."""
    return DeviceProfile(
        name=ProfileName(name),
        title="Test board",
        device_class=DeviceClass.LINUX,
        architecture="aarch64",
        cpu="Cortex-A72",
        cores=4,
        clock_hz=1_500_000_000,
        memory_bytes=1_000_000_000,
        model_memory_bytes=100_000_000,
        storage_bytes=None,
        formats=formats,
        full_int8=full_int8,
        computes_fp16=False,
        sources=(),
    )


@cache
def a_torch_convnet() -> Model:
    """Return a small digits CNN with seeded, untrained weights: image (n, 1, 8, 8) to 10 scores."""
    import torch

    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(256, 10),
    )
    return Model.from_torch(net, inputs={"image": (1, 1, 8, 8)}, name="convnet")


@cache
def a_torch_mlp() -> Model:
    """Return a small MLP with seeded weights: row (n, 12) to 3 scores."""
    import torch

    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Linear(12, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))
    return Model.from_torch(net, inputs={"row": (1, 12)}, name="mlp")


def an_onnx_mlp(
    *, seed: int = 3, inputs: int = 12, outputs: int = 3, name: str = "mlp", opset: int = 18, batch: int | str = "batch"
) -> Model:
    """Return an MLP built with onnx alone (fast: no torch), its batch free unless a size is given."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    chance = np.random.default_rng(seed)
    weights = {
        "w1": chance.normal(size=(inputs, 16)).astype(np.float32),
        "b1": chance.normal(size=16).astype(np.float32),
        "w2": chance.normal(size=(16, outputs)).astype(np.float32),
        "b2": chance.normal(size=outputs).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["row", "w1", "b1"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("Gemm", ["active", "w2", "b2"], ["scores"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [batch, inputs])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, outputs])],
        [numpy_helper.from_array(values, key) for key, values in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(proto)
    from optimizer.model import Format

    return Model.from_bytes(Format.ONNX, proto.SerializeToString(deterministic=True), name=name)


def rows(shape: tuple[int, ...], *, count: int = 64, seed: int = 5) -> NDArray[np.float32]:
    """Return seeded float rows of that shape."""
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def a_dataset(model: Model, *, count: int = 64, labelled: bool = True) -> Dataset:
    """Return seeded rows for the model's inputs; labels are the model's own answers, so it is always right."""
    from optimizer.metrics.classes import top_class
    from optimizer.served import serve

    holdout = {spec.name: rows(spec.shape[1:], count=count, seed=6) for spec in model.inputs}
    answers = serve(model, model, ()).infer(holdout)[model.outputs[0].name]
    return Dataset.of(
        calibration={spec.name: rows(spec.shape[1:], count=count, seed=7) for spec in model.inputs},
        holdout=holdout,
        label=top_class(answers) if labelled else None,
    )
