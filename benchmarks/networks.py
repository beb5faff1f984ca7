"""The networks that this project makes itself for ``optimizer_vs_peers``: built in torch, seeded, exported to ONNX.

Weights are torch's seeded random ones. Batch norms get seeded scales, and running statistics from one pass over
seeded rows. So that answers can be compared at all, the last layer of each is fitted (ridge regression) to ten made-up
classes: patterns under noise. What is compared between artifacts is agreement; nothing here is a claim of accuracy.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

VERSION: Final = 1
"""Raise when the same seed gives another network: kept files are made anew."""
CLASSES: Final = 10
OPSET: Final = 18
_FITTED_ROWS: Final = 600
_STATISTICS_ROWS: Final = 64
_RIDGE: Final = 0.1
_CELLS: Final = 4
"""Into how many cells a pattern parts each axis of an image or of time."""
_OPEN: Final = 1.0
"""Mean shift of the batch norms: with none, deep random networks are chaotic, and rounding flips every answer."""
_CENTRE: Final = 1.0
"""Added to the middle of each depthwise kernel: deep stacks of purely random ones forget what they were shown."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network: its input's shape without the batch, and the body and the classes of its last layer.

    ``noise`` is the deviation of the noise over the patterns, which have deviation 1.
    """

    name: str
    shape: tuple[int, ...]
    body: Callable[[], nn.Module]
    features: int
    classes: int = CLASSES
    noise: float
    transformer: bool = False
    parameters: int


# This list was fixed before anything was tuned; no network is ever dropped from it. Parameter counts are those of the
# networks that were tried first, within 8 %; a test counts them.
NETWORKS: Final[tuple[Network, ...]] = (
    Network(
        name="mobilenet-v2",
        shape=(3, 224, 224),
        body=lambda: _mobilenet_v2(),
        features=1280,
        classes=1000,
        noise=0.3,
        parameters=3_505_000,
    ),
    Network(
        name="ds-cnn", shape=(1, 49, 10), body=lambda: _ds_cnn(), features=64, classes=12, noise=1.0, parameters=23_000
    ),
    Network(name="resnet8", shape=(3, 32, 32), body=lambda: _resnet8(), features=64, noise=1.0, parameters=78_000),
    Network(name="mlp", shape=(64,), body=lambda: _perceptron(), features=128, noise=1.0, parameters=26_000),
    Network(name="cnn-1d", shape=(6, 128), body=lambda: _cnn_1d(), features=64, noise=2.0, parameters=12_000),
    Network(
        name="transformer",
        shape=(32, 16),
        body=lambda: _transformer(),
        features=64,
        transformer=True,
        noise=0.4,
        parameters=104_000,
    ),
    Network(
        name="torch-encoder",
        shape=(32, 16),
        body=lambda: _torch_encoder(),
        features=64,
        transformer=True,
        noise=0.4,
        parameters=102_000,
    ),
    Network(name="gru", shape=(32, 16), body=lambda: _recurrent("GRU"), features=64, noise=1.0, parameters=16_500),
    Network(name="lstm", shape=(32, 16), body=lambda: _recurrent("LSTM"), features=64, noise=1.0, parameters=21_800),
    Network(
        name="mobilenet-v1-0.25-96",
        shape=(3, 96, 96),
        body=lambda: _mobilenet_v1(),
        features=256,
        noise=0.4,
        parameters=216_000,
    ),
)


def rows_of(network: Network, count: int, *, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return rows of the network's made-up classes, float32 (count, *shape), and the class of each."""
    patterns = _patterns(network)
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, CLASSES, size=count)
    rows = patterns[labels] + network.noise * chance.standard_normal((count, *network.shape), dtype=np.float32)
    return rows, labels.astype(np.int64)


def build(network: Network, *, seed: int) -> nn.Module:
    """Return the network in eval mode, its batch norms and its last layer set by seeded rows."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    body, head = network.body(), nn.Linear(network.features, network.classes)
    rows, labels = rows_of(network, _FITTED_ROWS, seed=seed + 1)
    inputs = torch.from_numpy(rows)
    _set_batch_norms(body, inputs[:_STATISTICS_ROWS])
    _fit(head, _features(body, inputs), labels)
    return nn.Sequential(body, head).eval()


def exported(network: Network, *, seed: int) -> bytes:
    """Return the network as one ONNX file: input ``x``, output ``y``, a batch of any size."""
    import torch

    module = build(network, seed=seed)
    program = torch.onnx.export(
        module,
        (torch.zeros(2, *network.shape),),
        dynamo=True,
        opset_version=OPSET,
        external_data=False,
        verbose=False,
        input_names=["x"],
        output_names=["y"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    if program is None:
        raise SystemExit(f"{network.name}: torch exported nothing")
    file = io.BytesIO()
    program.save(file, external_data=False)
    return file.getvalue()


def _patterns(network: Network) -> NDArray[np.float32]:
    """Return one smooth pattern for each class: seeded, coarse values, repeated over the places of the last axes."""
    chance = np.random.default_rng(sum(map(ord, network.name)))
    channels, places = (network.shape[:1], network.shape[1:]) if len(network.shape) > 1 else ((1,), network.shape)
    coarse = tuple(min(_CELLS, size) for size in places) if len(network.shape) > 1 else places
    values = chance.standard_normal((CLASSES, *channels, *coarse)).astype(np.float32)
    for axis, (size, few) in enumerate(zip(places, coarse, strict=True)):
        values = values.repeat(-(-size // few), axis=2 + axis).take(range(size), axis=2 + axis)
    return values.reshape(CLASSES, *network.shape)


def _set_batch_norms(body: nn.Module, rows: torch.Tensor) -> None:
    import torch
    from torch import nn

    for module in body.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            with torch.no_grad():
                module.weight[:, :, module.kernel_size[0] // 2, module.kernel_size[1] // 2] += _CENTRE
    norms = [module for module in body.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, _OPEN, 0.1)
        norm.momentum = None
    body.train()
    with torch.no_grad():
        body(rows)
    body.eval()


def _features(body: nn.Module, rows: torch.Tensor) -> NDArray[np.float64]:
    import torch

    with torch.no_grad():
        parts = [body(part).numpy() for part in torch.split(rows, _STATISTICS_ROWS)]
    return np.concatenate(parts).astype(np.float64)


def _fit(head: nn.Linear, features: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    """Set the head's first ``CLASSES`` rows by ridge regression; the others keep their weights and never win."""
    import torch

    centre, spread = features.mean(axis=0), features.std() + 1e-9
    scaled = (features - centre) / spread
    wanted = np.eye(CLASSES)[labels] - 1 / CLASSES
    gram = scaled.T @ scaled + _RIDGE * len(scaled) * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled.T @ wanted).T / spread
    with torch.no_grad():
        head.weight[:CLASSES] = torch.from_numpy(weights.astype(np.float32))
        head.bias[:CLASSES] = torch.from_numpy((1 / CLASSES - weights @ centre).astype(np.float32))
        others = head.weight[CLASSES:] @ torch.from_numpy(features.T.astype(np.float32))
        if others.numel():
            head.bias[CLASSES:] = -others.max(dim=1).values - 1.0


def _conv_norm(
    inputs: int, outputs: int, size: int | tuple[int, int], stride: int | tuple[int, int], groups: int = 1
) -> list[nn.Module]:
    from torch import nn

    padding = size // 2 if isinstance(size, int) else (size[0] // 2, size[1] // 2)
    return [
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def _separable(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    from torch import nn

    return [
        *_conv_norm(inputs, inputs, 3, stride, groups=inputs),
        nn.ReLU(),
        *_conv_norm(inputs, outputs, 1, 1),
        nn.ReLU(),
    ]


def _pooled(layers: list[nn.Module]) -> nn.Module:
    from torch import nn

    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _mobilenet_v1() -> nn.Module:
    from torch import nn

    plan = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    layers, width = [*_conv_norm(3, 8, 3, 2), nn.ReLU()], 8
    for outputs, stride in plan:
        layers += _separable(width, outputs, stride)
        width = outputs
    return _pooled(layers)


def _ds_cnn() -> nn.Module:
    from torch import nn

    stem = [*_conv_norm(1, 64, (10, 4), (2, 2)), nn.ReLU()]
    return _pooled([*stem, *(layer for _ in range(4) for layer in _separable(64, 64, 1))])


def _residual(main: list[nn.Module], shortcut: list[nn.Module], *, relu: bool) -> nn.Module:
    from torch import nn

    class Residual(nn.Module):
        """Two branches, added."""

        def __init__(self) -> None:
            super().__init__()
            self.main = nn.Sequential(*main)
            self.shortcut = nn.Sequential(*shortcut)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            """Return the sum of both branches, through ReLU where asked."""
            added: torch.Tensor = self.main(rows) + self.shortcut(rows)
            return added.relu() if relu else added

    return Residual()


def _resnet8() -> nn.Module:
    from torch import nn

    layers: list[nn.Module] = [*_conv_norm(3, 16, 3, 1), nn.ReLU()]
    for inputs, outputs, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        main = [*_conv_norm(inputs, outputs, 3, stride), nn.ReLU(), *_conv_norm(outputs, outputs, 3, 1)]
        shortcut: list[nn.Module] = [] if inputs == outputs else [nn.Conv2d(inputs, outputs, 1, stride=stride)]
        layers.append(_residual(main, shortcut, relu=True))
    return _pooled(layers)


def _mobilenet_v2() -> nn.Module:
    from torch import nn

    layers, width = [*_conv_norm(3, 32, 3, 2), nn.ReLU6()], 32
    for grown, outputs, repeats, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for place in range(repeats):
            stride = first if place == 0 else 1
            main = [*_conv_norm(width, width * grown, 1, 1), nn.ReLU6()] if grown > 1 else []
            main += [*_conv_norm(width * grown, width * grown, 3, stride, groups=width * grown), nn.ReLU6()]
            main += _conv_norm(width * grown, outputs, 1, 1)
            layers += [_residual(main, [], relu=False)] if stride == 1 and width == outputs else main
            width = outputs
    return _pooled([*layers, *_conv_norm(width, 1280, 1, 1), nn.ReLU6()])


def _perceptron() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())


def _cnn_1d() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv1d(6, 32, 5, padding=2, bias=False), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Conv1d(32, 64, 5, padding=2, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(),
    )  # fmt: skip


def _mean_over_time(layers: list[nn.Module]) -> nn.Module:
    from torch import nn

    class MeanOverTime(nn.Module):
        """The layers, then the mean over the sequence."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            """Return features, shape (n, width)."""
            mean: torch.Tensor = self.layers(rows).mean(dim=1)
            return mean

    return MeanOverTime()


def _attention(width: int, heads: int) -> nn.Module:
    import torch
    from torch import nn

    class Attention(nn.Module):
        """Self-attention with one projection for query, key and value, spelt out."""

        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            """Return the attended rows, shape (n, time, width)."""
            count, time, _ = rows.shape
            parts = self.qkv(rows).reshape(count, time, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            query, key, value = parts[0], parts[1], parts[2]
            weights = torch.softmax(query @ key.transpose(-2, -1) * (width // heads) ** -0.5, dim=-1)
            answer: torch.Tensor = self.out((weights @ value).transpose(1, 2).reshape(count, time, width))
            return answer

    return Attention()


def _transformer() -> nn.Module:
    from torch import nn

    def block() -> list[nn.Module]:
        feed = [nn.LayerNorm(64), nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)]
        return [
            _residual([nn.LayerNorm(64), _attention(64, 4)], [], relu=False),
            _residual(feed, [], relu=False),
        ]

    return _mean_over_time([nn.Linear(16, 64), *block(), *block(), nn.LayerNorm(64)])


def _torch_encoder() -> nn.Module:
    from torch import nn

    layer = nn.TransformerEncoderLayer(64, 4, dim_feedforward=256, batch_first=True, activation="gelu")
    return _mean_over_time([nn.Linear(16, 64), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)])


def _recurrent(kind: str) -> nn.Module:
    import torch
    from torch import nn

    class Last(nn.Module):
        """A recurrent layer; what it gives at the last step."""

        def __init__(self) -> None:
            super().__init__()
            self.layer: nn.RNNBase = getattr(nn, kind)(16, 64, batch_first=True)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            """Return features, shape (n, 64)."""
            answer: torch.Tensor = self.layer(rows)[0][:, -1]
            return answer

    return Last()
