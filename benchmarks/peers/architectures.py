"""The bodies of the seeded networks, in torch: everything but the last layer. Weights are torch's random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


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


def mobilenet_v1() -> nn.Module:
    """Return MobileNetV1 at a quarter of its width, as MLPerf Tiny has it."""
    from torch import nn

    plan = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    layers, width = [*_conv_norm(3, 8, 3, 2), nn.ReLU()], 8
    for outputs, stride in plan:
        layers += _separable(width, outputs, stride)
        width = outputs
    return _pooled(layers)


def ds_cnn() -> nn.Module:
    """Return the keyword network of MLPerf Tiny: four separable blocks of 64 channels."""
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


def resnet8() -> nn.Module:
    """Return the small residual network of MLPerf Tiny."""
    from torch import nn

    layers: list[nn.Module] = [*_conv_norm(3, 16, 3, 1), nn.ReLU()]
    for inputs, outputs, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        main = [*_conv_norm(inputs, outputs, 3, stride), nn.ReLU(), *_conv_norm(outputs, outputs, 3, 1)]
        shortcut: list[nn.Module] = [] if inputs == outputs else [nn.Conv2d(inputs, outputs, 1, stride=stride)]
        layers.append(_residual(main, shortcut, relu=True))
    return _pooled(layers)


def mobilenet_v2() -> nn.Module:
    """Return MobileNetV2 at its full width."""
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


def perceptron() -> nn.Module:
    """Return two layers of 128."""
    from torch import nn

    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())


def cnn_1d() -> nn.Module:
    """Return two convolutions over time."""
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


def transformer() -> nn.Module:
    """Return two encoder blocks, spelt out."""
    from torch import nn

    def block() -> list[nn.Module]:
        feed = [nn.LayerNorm(64), nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)]
        return [
            _residual([nn.LayerNorm(64), _attention(64, 4)], [], relu=False),
            _residual(feed, [], relu=False),
        ]

    return _mean_over_time([nn.Linear(16, 64), *block(), *block(), nn.LayerNorm(64)])


def torch_encoder() -> nn.Module:
    """Return two of torch's own encoder layers."""
    from torch import nn

    layer = nn.TransformerEncoderLayer(64, 4, dim_feedforward=256, batch_first=True, activation="gelu")
    return _mean_over_time([nn.Linear(16, 64), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)])


def _recurrent(kind: str) -> nn.Module:
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


def gru() -> nn.Module:
    """Return a GRU over 32 steps."""
    return _recurrent("GRU")


def lstm() -> nn.Module:
    """Return an LSTM over 32 steps."""
    return _recurrent("LSTM")
