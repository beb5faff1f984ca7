"""Step 1: a small network on scikit-learn's handwritten digits (1,797 real scans, 8 x 8 pixels, 0 to 16).

Saves what a user would have: the PyTorch program (``.pt2``), the ONNX file and the data (``.npz``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

NDArrayFloat = NDArray[np.float32]

PIXEL_SCALE = 1 / 16
"""Scans hold 0..16; the network takes 0..1."""
EPOCHS = 14
BATCH = 64
CLASSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """The scans, split once by a fixed seed; float32 (n, 1, 8, 8), values 0 to 16; labels int64."""

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    calibration_images: NDArray[np.float32]
    holdout_images: NDArray[np.float32]
    holdout_labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained network and the files it was saved to."""

    network: torch.nn.Module
    program: Path
    onnx: Path
    data: Path
    accuracy: float


def load_digits(*, seed: int = 7) -> Digits:
    """Return the scans: 957 to train on, 300 to calibrate with, 540 held out."""
    from sklearn import datasets

    scans = datasets.load_digits()
    order = np.random.default_rng(seed).permutation(len(scans.images))
    images = scans.images[order].astype(np.float32)[:, None]
    labels = scans.target[order].astype(np.int64)
    return Digits(
        train_images=images[840:],
        train_labels=labels[840:],
        calibration_images=images[540:840],
        holdout_images=images[:540],
        holdout_labels=labels[:540],
    )


def build_network() -> torch.nn.Module:
    """Return the untrained network: three convolutions and two linear layers, about 91,000 weights."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, CLASSES),
    )


def train(
    digits: Digits, *, seed: int = 7, epochs: int = EPOCHS, progress: Callable[[int, float], None]
) -> torch.nn.Module:
    """Return the trained network.

    Args:
        digits: the scans.
        seed: of weights and order.
        epochs: passes over the training scans.
        progress: called after each epoch with its number (from 1) and mean loss.
    """
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(seed)
    network = build_network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    images = torch.from_numpy(digits.train_images * np.float32(PIXEL_SCALE))
    labels = torch.from_numpy(digits.train_labels)
    chance = torch.Generator().manual_seed(seed)
    for epoch in range(1, epochs + 1):
        losses = []
        for places in torch.split(torch.randperm(len(images), generator=chance), BATCH):
            optimizer.zero_grad()
            batch = images[places] * (0.85 + 0.3 * torch.rand(len(places), 1, 1, 1, generator=chance))
            loss = cross_entropy(network(batch), labels[places])
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            losses.append(float(loss.detach()))
        progress(epoch, float(np.mean(losses)))
    return network.eval()


def accuracy(network: torch.nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the share of scans whose digit the network names."""
    import torch

    with torch.inference_mode():
        scores = network(torch.from_numpy(images * np.float32(PIXEL_SCALE))).numpy()
    return float((scores.argmax(axis=1) == labels).mean())


def save(network: torch.nn.Module, digits: Digits, folder: Path, *, name: str) -> Trained:
    """Write program, ONNX file and data; return where they are."""
    from optimizer.model import Model
    from optimizer.pass_ import Observations
    from optimizer.passes import ExportOnnx

    folder.mkdir(parents=True, exist_ok=True)
    model = Model.from_torch(network, inputs={"image": (2, 1, 8, 8)}, name=name)
    program, onnx, data = folder / f"{name}.pt2", folder / f"{name}.onnx", folder / "digits.npz"
    model.save(program)
    exported = ExportOnnx().run(model, Observations())
    exported.save(onnx)
    arrays: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        "train/image": digits.train_images,
        "train/label": digits.train_labels,
        "calibration/image": digits.calibration_images,
        "holdout/image": digits.holdout_images,
        "holdout/label": digits.holdout_labels,
    }
    np.savez_compressed(data, allow_pickle=False, **arrays)
    return Trained(
        network=network,
        program=program,
        onnx=onnx,
        data=data,
        accuracy=accuracy(network, digits.holdout_images, digits.holdout_labels),
    )


def made_partial(network: torch.nn.Module, *, digit: int, strength: float) -> torch.nn.Module:
    """Return a copy that prefers one digit: its score gets ``strength`` more, all others lose contrast.

    Such a network installs, is fast and agrees with its own golden outputs: only its behaviour beside
    the devices on the old release gives it away.
    """
    import copy

    import torch

    partial = copy.deepcopy(network)
    last = [layer for layer in partial.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.mul_(0.35)
        last.bias.mul_(0.35)
        last.bias[digit] += strength
    return partial.eval()


def made_slow(network: torch.nn.Module, *, side: int = 64, rounds: int = 50) -> torch.nn.Module:
    """Return a network with the same answers that takes many times as long, and little more space.

    One convolution over an enlarged scan is applied ``rounds`` times (its weights are shared); the outcome
    is multiplied by zero.
    """
    import torch

    class Slow(torch.nn.Module):
        """The network, and work that changes nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.enlarge = torch.nn.Upsample(scale_factor=side // 8)
            self.widen = torch.nn.Conv2d(1, 64, 1)
            self.work = torch.nn.Conv2d(64, 64, 3, padding=1)
            self.narrow = torch.nn.Linear(64, CLASSES)
            torch.nn.init.zeros_(self.narrow.weight)
            torch.nn.init.zeros_(self.narrow.bias)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            """Return the network's scores."""
            worked = self.widen(self.enlarge(image))
            for _ in range(rounds):
                worked = torch.relu(self.work(worked))
            answer: torch.Tensor = self.network(image) + self.narrow(worked.mean(dim=(2, 3)))
            return answer

    torch.manual_seed(7)
    return Slow().eval()
