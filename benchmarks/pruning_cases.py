"""The four networks that ``pruning`` cuts, with the rows that train and those that are scored; no row is in both.

ResNet20 and the Adult MLP are published files. The net of separable convolutions and the transformer encoder are
trained here first, on the training rows and their labels alone, from a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from optimizer.data.dataset import Dataset
from optimizer.model import Model
from optimizer.pass_ import Pass
from optimizer.passes import (
    ArrangeTransformer,
    ExportOnnx,
    ExportTflite,
    QuantizeDynamic,
    QuantizeStatic,
    QuantizeTflite,
    SimplifyOnnx,
)
from optimizer.passes.prune_channels import FineTune
from optimizer.passes.tflite_quantization.recipes import Precision

if TYPE_CHECKING:
    import torch
    from torch import nn

_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)
_DIGITS_TRAINED: Final = 7_000
_PHOTOS_TRAINED: Final = 1_000
_ONNX: Final = (ExportOnnx(), SimplifyOnnx())
_STATIC: Final[Mapping[str, tuple[Pass, ...]]] = {
    "onnx u8s8": (*_ONNX, QuantizeStatic()),
    "tflite int8": (*_ONNX, ExportTflite(), QuantizeTflite()),
}
_DENSE: Final[Mapping[str, tuple[Pass, ...]]] = {
    "onnx int8 dynamic": (*_ONNX, QuantizeDynamic()),
    "tflite int8 dynamic": (*_ONNX, ExportTflite(), QuantizeTflite(precision=Precision.DYNAMIC)),
}
_ENCODER: Final[Mapping[str, tuple[Pass, ...]]] = {
    "onnx int8 dynamic": (*_ONNX, ArrangeTransformer(), QuantizeDynamic()),
    "tflite int8 dynamic": (*_ONNX, ExportTflite(), QuantizeTflite(precision=Precision.DYNAMIC)),
}


@dataclass(frozen=True, kw_only=True)
class PruningCase:
    """One network: its model, data, quantizations by name, training, wanted latency, and points it may lose."""

    name: str
    model: Model
    dataset: Dataset
    tails: Mapping[str, tuple[Pass, ...]]
    training: FineTune
    ratio: float
    points: float


def resnet20(data: Path, _folder: Path) -> PruningCase:
    """Return the published ResNet20: 1,000 photographs to learn from without labels, the other 1,000 scored."""
    import torch

    from benchmarks.conversion.zoo.published import resnet20 as built

    net = built()
    net.load_state_dict(torch.load(data / "image_cifar10" / "resnet20.pt", weights_only=True))
    with np.load(data / "image_cifar10" / "cifar10_jpeg_2000.npz") as file:
        rows = ((file["x"].astype(np.float32) / 255 - _MEAN) / _DEVIATION).transpose(0, 3, 1, 2).copy()
        label = file["y"].astype(np.int64)
    return PruningCase(
        name="resnet20",
        model=Model.from_torch(net, inputs={"x": (1, 3, 32, 32)}, name="resnet20"),
        dataset=parted(rows, label, _PHOTOS_TRAINED),
        tails=_STATIC,
        training=FineTune(epochs=240, rounded_epochs=10, rate=0.002, rows=_PHOTOS_TRAINED),
        ratio=0.69,
        points=2.5,
    )


def separable_digits(data: Path, kept: Path) -> PruningCase:
    """Return a net of separable convolutions, trained here on 7,000 digits; the other 3,000 are scored."""
    rows, label = _digits(data)
    rows = rows[:, None]
    return PruningCase(
        name="separable",
        model=_kept(
            kept / "separable.pt2",
            lambda: Model.from_torch(
                _trained(_separable_net, rows[:_DIGITS_TRAINED], label[:_DIGITS_TRAINED], epochs=6),
                inputs={"image": (1, 1, 28, 28)},
                name="separable",
            ),
        ),
        dataset=parted(rows, label, _DIGITS_TRAINED),
        tails=_STATIC,
        training=FineTune(epochs=8, rounded_epochs=2, rows=_DIGITS_TRAINED),
        ratio=0.68,
        points=1.0,
    )


def adult(data: Path, _folder: Path) -> PruningCase:
    """Return the published MLP over census rows: 10,000 of its training rows to learn from, its test rows scored."""
    import torch

    net = torch.nn.Sequential(
        torch.nn.Linear(108, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)
    )
    net.load_state_dict(torch.load(data / "tabular_adult" / "adult_mlp.pt", weights_only=True))
    with np.load(data / "tabular_adult" / "adult.npz") as file:
        taught, scored = file["x_train"][:10_000].astype(np.float32), file["x_test"].astype(np.float32)
        label = file["y_test"].astype(np.int64)
    dataset = Dataset.of(calibration={"x": taught}, holdout={"x": scored}, label=label)
    return PruningCase(
        name="adult",
        model=Model.from_torch(net, inputs={"x": (1, 108)}, name="adult"),
        dataset=dataset,
        tails={**_DENSE, **_STATIC},
        training=FineTune(epochs=8, rounded_epochs=2),
        ratio=0.69,
        points=1.0,
    )


def encoder(data: Path, kept: Path) -> PruningCase:
    """Return torch's own encoder over the lines of digits, trained here on 7,000; the other 3,000 are scored."""
    rows, label = _digits(data)
    return PruningCase(
        name="encoder",
        model=_kept(
            kept / "encoder.pt2",
            lambda: Model.from_torch(
                _trained(_encoder_net, rows[:_DIGITS_TRAINED], label[:_DIGITS_TRAINED], epochs=12),
                inputs={"lines": (1, 28, 28)},
                name="encoder",
            ),
        ),
        dataset=parted(rows, label, _DIGITS_TRAINED, name="lines"),
        tails=_ENCODER,
        training=FineTune(epochs=30, rounded_epochs=0, rate=0.001, rows=_DIGITS_TRAINED),
        ratio=0.68,
        points=1.0,
    )


CASES: Final[Mapping[str, Callable[[Path, Path], PruningCase]]] = {
    "resnet20": resnet20,
    "separable": separable_digits,
    "adult": adult,
    "encoder": encoder,
}
"""Each from the folder of data and the folder that keeps what was trained."""


def _kept(file: Path, make: Callable[[], Model]) -> Model:
    """Return the model in the file; made and put there where there is none."""
    if not file.is_file():
        make().save(file)
    return Model.load(file)


def parted(rows: NDArray[np.float32], label: NDArray[np.int64], first: int, *, name: str = "") -> Dataset:
    """Return the first rows to learn from and the others to be scored."""
    name = name or ("x" if rows.shape[1] == len(_MEAN) else "image")
    return Dataset.of(calibration={name: rows[:first]}, holdout={name: rows[first:]}, label=label[first:])


def _digits(data: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    with np.load(data / "recurrent_mnist" / "mnist_t10k.npz") as file:
        order = np.random.default_rng(0).permutation(len(file["y"]))
        return file["x"][order].astype(np.float32) / 255, file["y"][order].astype(np.int64)


def _separable_net() -> nn.Module:
    """Return a MobileNet for images of 28 x 28: a stem and five separable blocks."""
    from torch import nn

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs), nn.ReLU(),
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        ]  # fmt: skip

    plan = ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1))
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        *(layer for sizes in plan for layer in block(*sizes)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def _encoder_net() -> nn.Module:
    """Return two of torch's own encoder layers between two dense layers, over 28 lines."""
    import torch
    from torch import nn

    class Lines(nn.Module):
        """The encoder and the mean over its lines."""

        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.1, batch_first=True, activation="gelu")
            self.places = nn.Parameter(0.02 * torch.randn(28, 64))
            self.first, self.last = nn.Linear(28, 64), nn.Linear(64, 10)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, lines: torch.Tensor) -> torch.Tensor:
            """Return the scores."""
            answer: torch.Tensor = self.last(self.layers(self.first(lines) + self.places).mean(dim=1))
            return answer

    return Lines()


def _trained(
    build: Callable[[], nn.Module], rows: NDArray[np.float32], label: NDArray[np.int64], *, epochs: int
) -> nn.Module:
    """Return the net after so many epochs over the rows, from a fixed seed."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    net, batch = build().train(), 100
    given, wanted = torch.from_numpy(rows), torch.from_numpy(label)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    steps = epochs * (len(rows) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(rows))
        for first in range(0, len(rows), batch):
            places = order[first : first + batch]
            optimizer.zero_grad()
            loss: Any = torch.nn.functional.cross_entropy(net(given[places]), wanted[places])
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()
