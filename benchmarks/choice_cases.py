"""The models that ``optimizer_choice`` asks about: three made here, three of the data folder where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optimizer.data.dataset import Dataset
from optimizer.model import Model

if TYPE_CHECKING:
    import torch

CIFAR_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
CIFAR_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)
EPOCHS = 4
CALIBRATION_ROWS, HOLDOUT_ROWS = 200, 400


@dataclass(frozen=True, kw_only=True)
class Case:
    """A float ONNX model and rows for it; ``data`` says where the rows are from."""

    name: str
    model: Model
    dataset: Dataset
    data: str


def made_cases(*, seed: int) -> Iterator[Case]:
    """Yield a digits network, a small perceptron and a MobileNet-like network, trained on scikit-learn's digits."""
    from edgeship.demo.training import build_network, load_digits

    digits = load_digits(seed=seed)
    scans = digits.train_images / np.float32(16)
    calibration, holdout = digits.calibration_images / np.float32(16), digits.holdout_images / np.float32(16)

    def case(name: str, network: torch.nn.Module, form: tuple[int, ...], grown: int) -> Case:
        def shaped(images: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.kron(images, np.ones((grown, grown), dtype=np.float32)).reshape(-1, *form)

        _train(network, shaped(scans), digits.train_labels, seed=seed)
        model = _exported(network, name, form)
        dataset = Dataset.of(
            calibration={"x": shaped(calibration)[:CALIBRATION_ROWS]},
            holdout={"x": shaped(holdout)[:HOLDOUT_ROWS]},
            label=digits.holdout_labels[:HOLDOUT_ROWS],
        )
        return Case(name=name, model=model, dataset=dataset, data="digits")

    yield case("digits-cnn", _seeded(build_network, seed), (1, 8, 8), 1)
    yield case("small-mlp", _seeded(_perceptron, seed), (64,), 1)
    yield case("mobilenet-like", _seeded(_mobilenet, seed), (1, 32, 32), 4)


def given_cases(folder: Path, *, seed: int) -> Iterator[Case]:
    """Yield the networks of the data folder that are there; random rows where their data do not fit or are missing."""
    for name, path, rows in (
        ("resnet20", "image_cifar10/resnet20.onnx", _cifar_rows),
        ("adult-mlp", "tabular_adult/adult_mlp.onnx", _adult_rows),
        ("cmapss-cnn", "rul_cmapss/cmapss_cnn.onnx", _cmapss_rows),
    ):
        if (folder / path).exists():
            model = Model.load(folder / path, name=name)
            dataset, data = _dataset(model, rows(folder), seed=seed)
            yield Case(name=name, model=model, dataset=dataset, data=data)


def _cifar_rows(folder: Path) -> Path | tuple[NDArray[np.float32], NDArray[np.generic]]:
    path = folder / "image_cifar10" / "cifar10_jpeg_2000.npz"
    if not path.exists():
        return path
    held = np.load(path, allow_pickle=False)
    images = (held["x"].astype(np.float32) / 255 - CIFAR_MEAN) / CIFAR_DEVIATION
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), held["y"].astype(np.int64)


def _adult_rows(folder: Path) -> Path | tuple[NDArray[np.float32], NDArray[np.generic]]:
    path = folder / "tabular_adult" / "adult.npz"
    if not path.exists():
        return path
    held = np.load(path, allow_pickle=False)
    return held["x_test"].astype(np.float32), held["y_test"].astype(np.int64)


def _cmapss_rows(folder: Path) -> Path | tuple[NDArray[np.float32], NDArray[np.generic]]:
    path = folder / "rul_cmapss" / "cmapss_fd001.npz"
    if not path.exists():
        return path
    held = np.load(path, allow_pickle=False)
    return held["x_calib"].astype(np.float32), held["y_calib"].astype(np.float32) / np.float32(125)


def _dataset(
    model: Model, rows: Path | tuple[NDArray[np.float32], NDArray[np.generic]], *, seed: int
) -> tuple[Dataset, str]:
    """Return rows split into calibration and holdout, and where they are from."""
    (spec,) = model.inputs
    total = CALIBRATION_ROWS + HOLDOUT_ROWS
    if isinstance(rows, Path) or rows[0].shape[1:] != spec.shape[1:]:
        values: NDArray[np.float32] = (
            np.random.default_rng(seed).normal(size=(total, *spec.shape[1:])).astype(np.float32)
        )
        label, data = None, "random inputs"
    else:
        order = np.random.default_rng(seed).permutation(len(rows[0]))[:total]
        values, label, data = rows[0][order], rows[1][order][CALIBRATION_ROWS:], "its own data"
    dataset = Dataset.of(
        calibration={spec.name: values[:CALIBRATION_ROWS]}, holdout={spec.name: values[CALIBRATION_ROWS:]}, label=label
    )
    return dataset, data


def _seeded(build: Any, seed: int) -> torch.nn.Module:
    import torch

    torch.manual_seed(seed)
    network: torch.nn.Module = build()
    return network


def _perceptron() -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def _mobilenet() -> torch.nn.Module:
    """Return a stem and four depthwise-separable blocks, about 60,000 weights, batch norms as in MobileNet v1."""
    from torch import nn

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.ReLU6(),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(),
        ]

    stem = [nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()]
    blocks = [*block(16, 32, 1), *block(32, 64, 2), *block(64, 128, 2), *block(128, 256, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def _train(network: torch.nn.Module, rows: NDArray[np.float32], labels: NDArray[np.int64], *, seed: int) -> None:
    import torch

    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    inputs, wanted = torch.from_numpy(rows), torch.from_numpy(labels)
    chance = torch.Generator().manual_seed(seed)
    network.train()
    for _ in range(EPOCHS):
        for places in torch.split(torch.randperm(len(inputs), generator=chance), 64):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(inputs[places]), wanted[places])
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
    network.eval()


def _exported(network: torch.nn.Module, name: str, form: tuple[int, ...]) -> Model:
    """Return the float ONNX model that a user would bring."""
    from optimizer.pass_ import Observations
    from optimizer.passes import ExportOnnx

    return ExportOnnx().run(Model.from_torch(network, inputs={"x": (2, *form)}, name=name), Observations())
