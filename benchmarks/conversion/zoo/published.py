"""Torch twins of published files: same names of weights, so that the published ones load into them."""

from __future__ import annotations

import torch
from torch import nn


class CifarBlock(nn.Module):
    """Two convolutions; a narrower input is thinned out and padded with channels of zeros."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.added = (outputs - inputs) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum through ReLU."""
        answer = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.added:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added, self.added))
        joined: torch.Tensor = (answer + x).relu()
        return joined


class CifarResNet(nn.Module):
    """ResNet for CIFAR-10 with three stages of so many blocks."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(CifarBlock(inputs, outputs), *(CifarBlock(outputs, outputs) for _ in range(blocks - 1)))
            for inputs, outputs in ((16, 16), (16, 32), (32, 64))
        )
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)).relu())))
        scores: torch.Tensor = self.linear(nn.functional.avg_pool2d(x, x.shape[3]).flatten(1))
        return scores


def resnet20() -> nn.Module:
    """Return ResNet20."""
    return CifarResNet(3)


def resnet32() -> nn.Module:
    """Return ResNet32."""
    return CifarResNet(5)


class RemainingLife(nn.Module):
    """Three convolutions over 30 cycles of 15 sensors, and two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv1d(15, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU(),
            nn.Conv1d(32, 32, 5, stride=2, padding=2), nn.BatchNorm1d(32), nn.ReLU(),
            nn.Conv1d(32, 64, 3, stride=2, padding=1), nn.BatchNorm1d(64), nn.ReLU(),
            nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Identity(), nn.Linear(64, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the remaining life as a share."""
        life: torch.Tensor = self.f(x)
        return life


def adult() -> nn.Module:
    """Return the census perceptron."""
    return nn.Sequential(nn.Linear(108, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
