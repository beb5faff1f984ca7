"""Networks that answer with images, or with boxes on them."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.conversion.zoo.images import conv_norm


def twice(inputs: int, outputs: int) -> nn.Module:
    """Return two convolutions of size 3."""
    return nn.Sequential(*conv_norm(inputs, outputs, 3), nn.ReLU(), *conv_norm(outputs, outputs, 3), nn.ReLU())


class UNet(nn.Module):
    """Two steps down, two up: one by a transposed convolution, one by enlarging; each beside what it came from."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.deep = twice(3, 16), twice(16, 32), twice(32, 64)
        self.up = nn.ConvTranspose2d(64, 32, 2, stride=2)
        self.back, self.narrow, self.last = twice(64, 32), nn.Conv2d(32, 16, 1), twice(32, 16)
        self.classes = nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return four scores at each place."""
        first = self.first(x)
        second = self.second(nn.functional.max_pool2d(first, 2))
        deep = self.deep(nn.functional.max_pool2d(second, 2))
        back = self.back(torch.cat([self.up(deep), second], dim=1))
        large = nn.functional.interpolate(self.narrow(back), scale_factor=2.0, mode="bilinear", align_corners=False)
        scores: torch.Tensor = self.classes(self.last(torch.cat([large, first], dim=1)))
        return scores


def super_resolution() -> nn.Module:
    """Return three convolutions and a pixel shuffle by three."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3),
    )  # fmt: skip


def autoencoder() -> nn.Module:
    """Return strided convolutions down to a code, and transposed ones back."""
    down = [nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()]
    code = [nn.Flatten(), nn.Linear(32 * 7 * 7, 32), nn.Linear(32, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7))]
    up = [nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1), nn.ReLU()]
    last = [nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid()]
    return nn.Sequential(*down, *code, *up, *last)


class SsdHead(nn.Module):
    """Two scales of features; scores and boxes of both in one list."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Sequential(*conv_norm(3, 16, 3, stride=2), nn.ReLU(), *conv_norm(16, 32, 3, stride=2), nn.ReLU())
        self.far = nn.Sequential(*conv_norm(32, 64, 3, stride=2), nn.ReLU())
        self.scores = nn.ModuleList([nn.Conv2d(32, 12, 3, padding=1), nn.Conv2d(64, 12, 3, padding=1)])
        self.boxes = nn.ModuleList([nn.Conv2d(32, 12, 3, padding=1), nn.Conv2d(64, 12, 3, padding=1)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (n, anchors, 4) and boxes (n, anchors, 4)."""
        near = self.near(x)
        features = [near, self.far(near)]
        scores, boxes = (
            torch.cat([_rows(head(part)) for head, part in zip(heads, features, strict=True)], dim=1)
            for heads in (self.scores, self.boxes)
        )
        return scores.softmax(-1), boxes


def _rows(boxes: torch.Tensor) -> torch.Tensor:
    return boxes.permute(0, 2, 3, 1).reshape(boxes.shape[0], -1, 4)


class YoloHead(nn.Module):
    """SiLU features, a path down and up, and boxes decoded on a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(3, 16, 3, stride=2), nn.SiLU(), *conv_norm(16, 32, 3, stride=2), nn.SiLU())
        self.deep = nn.Sequential(*conv_norm(32, 64, 3, stride=2), nn.SiLU())
        self.joined = nn.Sequential(*conv_norm(96, 48, 1), nn.SiLU())
        self.head = nn.Conv2d(48, 3 * 9, 1)
        grid = torch.stack(torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="xy"), dim=-1)
        self.register_buffer("grid", grid.view(1, 1, 24, 24, 2))
        self.register_buffer("anchors", torch.tensor([[10.0, 13], [33, 23], [62, 45]]).view(1, 3, 1, 1, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, boxes, 9): centre, size, objectness and four classes."""
        stem = self.stem(x)
        deep = nn.functional.interpolate(self.deep(stem), scale_factor=2.0, mode="nearest")
        raw = self.head(self.joined(torch.cat([deep, stem], dim=1)))
        raw = raw.view(x.shape[0], 3, 9, 24, 24).permute(0, 1, 3, 4, 2).sigmoid()
        centre = (raw[..., :2] * 2 - 0.5 + self.grid) * 4
        size = (raw[..., 2:4] * 2) ** 2 * self.anchors
        return torch.cat([centre, size, raw[..., 4:]], dim=-1).reshape(x.shape[0], -1, 9)
