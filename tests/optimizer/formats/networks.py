"""Whole networks, as torch users write them, exported without the slow exporter."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def exported(network: torch.nn.Module, shape: tuple[int, ...]) -> bytes:
    """Return the ONNX file of the network in eval mode, its normalizations with statistics of their own."""
    import torch

    network.eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.get_buffer("running_mean").normal_()
            module.get_buffer("running_var").uniform_(0.5, 1.5)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.randn(shape),),
            buffer,  # type: ignore[arg-type]  # the exporter's types name paths alone
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes={"image": {0: "batch"}},
        )
    return buffer.getvalue()


def mobile_net() -> torch.nn.Module:
    """Return inverted residuals with ReLU6, a global mean and a classifier."""
    import torch

    return torch.nn.Sequential(
        _block(3, 16, stride=2, clipped=True),
        _residual(torch.nn.Sequential(_inverted(16, 16, stride=1))),
        _inverted(16, 24, stride=2),
        _residual(torch.nn.Sequential(_inverted(24, 24, stride=1))),
        _block(24, 48, kernel=1, clipped=True),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Dropout(),
        torch.nn.Linear(48, 10),
    )


def residual_net() -> torch.nn.Module:
    """Return a stem with a padded max pool, residual blocks that add, and a classifier."""
    import torch

    return torch.nn.Sequential(
        _block(3, 16, kernel=7, stride=2),
        torch.nn.MaxPool2d(3, 2, 1),
        _residual(torch.nn.Sequential(_block(16, 16), _block(16, 16))),
        torch.nn.ReLU(),
        _block(16, 32, stride=2),
        _residual(torch.nn.Sequential(_block(32, 32), _block(32, 32))),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    )


def line_net() -> torch.nn.Module:
    """Return a 1-D CNN over six channels of a sensor."""
    import torch

    return torch.nn.Sequential(
        torch.nn.Conv1d(6, 16, 5, padding=2),
        torch.nn.BatchNorm1d(16),
        torch.nn.ReLU(),
        torch.nn.MaxPool1d(2),
        torch.nn.Conv1d(16, 24, 5, stride=2, padding=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(24, 5),
        torch.nn.Softmax(1),
    )


def table_net() -> torch.nn.Module:
    """Return an MLP over twenty columns."""
    import torch

    return torch.nn.Sequential(
        torch.nn.Linear(20, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 32),
        torch.nn.Tanh(),
        torch.nn.Linear(32, 3),
    )


def _residual(body: torch.nn.Module) -> torch.nn.Module:
    import torch

    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            added: torch.Tensor = values + self.body(values)
            return added

    return Residual()


def _block(
    inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, groups: int = 1, clipped: bool = False
) -> torch.nn.Module:
    import torch

    return torch.nn.Sequential(
        torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        torch.nn.BatchNorm2d(outputs),
        torch.nn.ReLU6() if clipped else torch.nn.ReLU(),
    )


def _inverted(inputs: int, outputs: int, *, stride: int) -> torch.nn.Module:
    import torch

    hidden = 4 * inputs
    return torch.nn.Sequential(
        _block(inputs, hidden, kernel=1, clipped=True),
        _block(hidden, hidden, stride=stride, groups=hidden, clipped=True),
        torch.nn.Conv2d(hidden, outputs, 1, bias=False),
        torch.nn.BatchNorm2d(outputs),
    )
