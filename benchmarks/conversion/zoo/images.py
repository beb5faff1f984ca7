"""Classifiers of images: (n, 3, side, side) to (n, 10)."""

from __future__ import annotations

import torch
from torch import nn

CLASSES = 10


def conv_norm(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution without bias that keeps the size (but for its stride), and its batch norm."""
    return [
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def classifier(layers: list[nn.Module], width: int) -> nn.Module:
    """Return the layers, the mean over places, and a linear head."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


class SqueezeExcite(nn.Module):
    """Scales channels by what a small network makes of their means."""

    def __init__(self, width: int, inner: int, gate: nn.Module) -> None:
        super().__init__()
        self.down, self.up, self.gate = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1), gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scaled image."""
        scale = nn.functional.adaptive_avg_pool2d(x, 1)
        scaled: torch.Tensor = x * self.gate(self.up(torch.relu(self.down(scale))))
        return scaled


class Inverted(nn.Module):
    """MobileNet's widened depthwise block with squeeze and excitation, added to its input where shapes allow."""

    def __init__(
        self, sizes: tuple[int, int, int], *, size: int, stride: int, activation: nn.Module, gate: nn.Module
    ) -> None:
        super().__init__()
        inputs, inner, outputs = sizes
        self.kept = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *conv_norm(inputs, inner, 1), activation,
            *conv_norm(inner, inner, size, stride=stride, groups=inner), activation,
            SqueezeExcite(inner, max(8, inner // 4), gate),
            *conv_norm(inner, outputs, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's answer."""
        answer: torch.Tensor = self.layers(x)
        return x + answer if self.kept else answer


def mobilenet_v3() -> nn.Module:
    """Return a small MobileNetV3: hard-swish, squeeze and excitation with a hard sigmoid."""
    act, gate = nn.Hardswish(), nn.Hardsigmoid()
    plan = [
        ((16, 16, 16), 3, 2),
        ((16, 72, 24), 3, 2),
        ((24, 88, 24), 3, 1),
        ((24, 96, 40), 5, 2),
        ((40, 240, 40), 5, 1),
    ]
    blocks = [Inverted(sizes, size=size, stride=stride, activation=act, gate=gate) for sizes, size, stride in plan]
    head = [nn.Linear(240, 128), nn.Hardswish(), nn.Linear(128, CLASSES)]
    stem, last = [*conv_norm(3, 16, 3, stride=2), act], [*conv_norm(40, 240, 1), act]
    return nn.Sequential(*stem, *blocks, *last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)


def efficientnet() -> nn.Module:
    """Return a small EfficientNet: SiLU, squeeze and excitation with a sigmoid."""
    act, gate = nn.SiLU(), nn.Sigmoid()
    plan = [((16, 64, 24), 3, 2), ((24, 96, 24), 3, 1), ((24, 96, 40), 5, 2), ((40, 160, 40), 5, 1)]
    blocks = [Inverted(sizes, size=size, stride=stride, activation=act, gate=gate) for sizes, size, stride in plan]
    return classifier([*conv_norm(3, 16, 3, stride=2), act, *blocks, *conv_norm(40, 160, 1), act], 160)


class Shuffled(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass, both halves are shuffled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.layers = nn.Sequential(
            *conv_norm(half, half, 1), nn.ReLU(), *conv_norm(half, half, 3, groups=half), *conv_norm(half, half, 1),
            nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the shuffled halves."""
        kept, changed = x.chunk(2, dim=1)
        joined = torch.cat([kept, self.layers(changed)], dim=1)
        count, width, height, length = joined.shape
        return joined.view(count, 2, width // 2, height, length).transpose(1, 2).reshape(count, width, height, length)


def shufflenet() -> nn.Module:
    """Return a small ShuffleNetV2."""
    layers: list[nn.Module] = [*conv_norm(3, 24, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
    for inputs, width in ((24, 48), (48, 96)):
        layers += [*conv_norm(inputs, width, 3, stride=2), nn.ReLU(), Shuffled(width), Shuffled(width)]
    return classifier(layers, 96)


class Fire(nn.Module):
    """SqueezeNet's unit: squeeze, then two kinds of kernels side by side."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.squeeze, self.near = nn.Conv2d(inputs, inner, 1), nn.Conv2d(inner, outputs, 1)
        self.wide = nn.Conv2d(inner, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return both, joined along channels."""
        squeezed = self.squeeze(x).relu()
        return torch.cat([self.near(squeezed).relu(), self.wide(squeezed).relu()], dim=1)


def squeezenet() -> nn.Module:
    """Return a small SqueezeNet: a convolution makes the classes."""
    pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    layers = [
        nn.Conv2d(3, 32, 3, stride=2),
        nn.ReLU(),
        pool,
        Fire(32, 16, 32),
        Fire(64, 16, 32),
        pool,
        Fire(64, 24, 48),
    ]
    return nn.Sequential(*layers, nn.Conv2d(96, CLASSES, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Dense(nn.Module):
    """DenseNet's layer: norm, ReLU, convolution, joined to its input."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), *conv_norm(inputs, 4 * growth, 1), nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input and what is new."""
        return torch.cat([x, self.layers(x)], dim=1)


def densenet() -> nn.Module:
    """Return two dense blocks with a transition between them."""
    layers, width = [*conv_norm(3, 24, 3, stride=2), nn.ReLU()], 24
    for block in range(2):
        for _ in range(4):
            layers.append(Dense(width, 12))
            width += 12
        if block == 0:
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
    return classifier([*layers, nn.BatchNorm2d(width), nn.ReLU()], width)


class Grouped(nn.Module):
    """ResNeXt's bottleneck: a grouped convolution between two of size 1, added to its input."""

    def __init__(self, inputs: int, inner: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *conv_norm(inputs, inner, 1), nn.ReLU(), *conv_norm(inner, inner, 3, stride=stride, groups=8), nn.ReLU(),
            *conv_norm(inner, outputs, 1),
        )  # fmt: skip
        kept = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if kept else nn.Sequential(*conv_norm(inputs, outputs, 1, stride=stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum through ReLU."""
        answer: torch.Tensor = (self.layers(x) + self.shortcut(x)).relu()
        return answer


def resnext() -> nn.Module:
    """Return four grouped bottlenecks."""
    blocks = [Grouped(16, 32, 64, stride=1), Grouped(64, 32, 64, stride=1), Grouped(64, 64, 128, stride=2)]
    return classifier([*conv_norm(3, 16, 3, stride=2), nn.ReLU(), *blocks, Grouped(128, 64, 128, stride=1)], 128)


class ChannelLastNorm(nn.Module):
    """ConvNeXt's norm: over the channels of each place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalized image."""
        normalized: torch.Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normalized


class ConvNextBlock(nn.Module):
    """A wide depthwise convolution, a norm and a perceptron at each place, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.up, self.down = (
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the image and what the block adds to it."""
        places = self.norm(self.spread(x).permute(0, 2, 3, 1))
        places = self.scale * self.down(nn.functional.gelu(self.up(places)))
        added: torch.Tensor = x + places.permute(0, 3, 1, 2)
        return added


def convnext() -> nn.Module:
    """Return a small ConvNeXt."""
    stem = [nn.Conv2d(3, 32, 4, stride=4), ChannelLastNorm(32), ConvNextBlock(32), ConvNextBlock(32)]
    later = [ChannelLastNorm(32), nn.Conv2d(32, 64, 2, stride=2), ConvNextBlock(64)]
    head = [nn.Flatten(), nn.LayerNorm(64, eps=1e-6), nn.Linear(64, CLASSES)]
    return nn.Sequential(*stem, *later, nn.AdaptiveAvgPool2d(1), *head)
