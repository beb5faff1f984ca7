"""Small networks of the kinds that devices run, built in torch: what the emitter makes of each is in the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

Shape = tuple[int, ...]


def block(
    inputs: int, outputs: int, *, size: int = 3, stride: int = 1, groups: int = 1, after: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Return convolution, normalization and activation."""
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), after())


class UNet(nn.Module):
    """Down twice, and up again by transposed convolutions."""

    def __init__(self) -> None:
        """Build the layers."""
        super().__init__()
        self.first, self.second, self.third = block(3, 8), block(8, 16), block(16, 32)
        self.up, self.last_up = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.joined, self.last = block(32, 16), nn.Sequential(block(16, 8), nn.Conv2d(8, 2, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return one map a class."""
        fine = self.first(image)
        middle = self.second(functional.max_pool2d(fine, 2))
        coarse = self.third(functional.max_pool2d(middle, 2))
        joined = self.joined(torch.cat([self.up(coarse), middle], 1))
        result: Tensor = self.last(torch.cat([self.last_up(joined), fine], 1))
        return result


class Shuffled(nn.Module):
    """Half of the channels goes by; then they are shuffled."""

    def __init__(self, channels: int) -> None:
        """Build the branch."""
        super().__init__()
        half = channels // 2
        middle = nn.Sequential(nn.Conv2d(half, half, 3, 1, 1, groups=half, bias=False), nn.BatchNorm2d(half))
        self.branch = nn.Sequential(block(half, half, size=1), middle, block(half, half, size=1))

    def forward(self, image: Tensor) -> Tensor:
        """Return the image, its channels in another order."""
        by, through = image.chunk(2, 1)
        joined = torch.cat([by, self.branch(through)], 1)
        rows, channels, height, width = joined.shape
        return joined.view(rows, 2, channels // 2, height, width).transpose(1, 2).reshape(rows, channels, height, width)


class Squeezed(nn.Module):
    """A depthwise layer between two pointwise ones, its channels weighted by their means."""

    def __init__(self, channels: int, after: type[nn.Module]) -> None:
        """Build the layers."""
        super().__init__()
        wide = 4 * channels
        self.wide = nn.Sequential(
            block(channels, wide, size=1, after=after), block(wide, wide, groups=wide, after=after)
        )
        self.weights = nn.Sequential(nn.Conv2d(wide, 8, 1), nn.ReLU(), nn.Conv2d(8, wide, 1), nn.Sigmoid())
        self.narrow = nn.Conv2d(wide, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return an image of the same size."""
        wide = self.wide(image)
        result: Tensor = image + self.narrow(wide * self.weights(functional.adaptive_avg_pool2d(wide, 1)))
        return result


class Temporal(nn.Module):
    """Causal convolutions over a line, each reaching twice as far; gated where asked."""

    def __init__(self, *, gated: bool) -> None:
        """Build three of them."""
        super().__init__()
        self.gated = gated
        self.first, self.last = nn.Conv1d(6, 16, 1), nn.Linear(16, 4)
        self.layers = nn.ModuleList(nn.Conv1d(16, 32 if gated else 16, 3, dilation=2**step) for step in range(3))

    def forward(self, line: Tensor) -> Tensor:
        """Return the last step's answer."""
        line = self.first(line)
        for step, layer in enumerate(self.layers):
            seen = layer(functional.pad(line, (2 * 2**step, 0)))
            if self.gated:
                left, right = seen.chunk(2, 1)
                line = line + torch.tanh(left) * torch.sigmoid(right)
            else:
                line = line + functional.relu(seen)
        answer: Tensor = self.last(line[:, :, -1])
        return answer


class Detector(nn.Module):
    """Boxes and classes from two scales, laid end to end, as SSD does."""

    def __init__(self) -> None:
        """Build backbone and heads."""
        super().__init__()
        self.fine, self.coarse = nn.Sequential(block(3, 16, stride=2), block(16, 32, stride=2)), block(32, 64, stride=2)
        self.boxes = nn.ModuleList((nn.Conv2d(32, 4 * 4, 3, padding=1), nn.Conv2d(64, 6 * 4, 3, padding=1)))
        self.classes = nn.ModuleList((nn.Conv2d(32, 4 * 3, 3, padding=1), nn.Conv2d(64, 6 * 3, 3, padding=1)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n, anchors, 4) and (n, anchors, 3)."""
        fine = self.fine(image)
        scales = (fine, self.coarse(fine))
        boxes = [self._flat(head(scale), 4) for head, scale in zip(self.boxes, scales, strict=True)]
        classes = [self._flat(head(scale), 3) for head, scale in zip(self.classes, scales, strict=True)]
        return torch.cat(boxes, 1), torch.softmax(torch.cat(classes, 1), -1)

    def _flat(self, heads: Tensor, width: int) -> Tensor:
        return heads.permute(0, 2, 3, 1).reshape(heads.shape[0], -1, width)


class Pyramid(nn.Module):
    """A coarse map doubled and joined to a fine one, as YOLO's neck does."""

    def __init__(self) -> None:
        """Build backbone and head."""
        super().__init__()
        self.fine, self.coarse = block(3, 16, stride=2, after=nn.SiLU), block(16, 32, stride=2, after=nn.SiLU)
        self.head = nn.Conv2d(48, 12, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return (n, places, 12), of numbers between 0 and 1."""
        fine = self.fine(image)
        doubled = functional.interpolate(self.coarse(fine), scale_factor=2.0, mode="nearest")
        heads: Tensor = self.head(torch.cat([doubled, fine], 1))
        return heads.flatten(2).transpose(1, 2).sigmoid()


def classifier(*layers: nn.Module, channels: int) -> nn.Sequential:
    """Return the layers with a mean over the image and a product after them."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def super_resolution() -> nn.Sequential:
    """Return three convolutions, whose channels become pixels."""
    layers = (nn.Conv2d(1, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 8, 3, padding=1), nn.Tanh())
    return nn.Sequential(*layers, nn.Conv2d(8, 9, 3, padding=1), nn.PixelShuffle(3))


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], Shape]] = {
    "detector": (Detector, (3, 64, 64)),
    "efficient": (lambda: classifier(block(3, 16, stride=2), Squeezed(16, nn.SiLU), channels=16), (3, 32, 32)),
    "mobile": (lambda: classifier(block(3, 16, stride=2), Squeezed(16, nn.Hardswish), channels=16), (3, 32, 32)),
    "pyramid": (Pyramid, (3, 32, 32)),
    "shuffle": (lambda: classifier(block(3, 24, stride=2), Shuffled(24), Shuffled(24), channels=24), (3, 32, 32)),
    "super resolution": (super_resolution, (1, 16, 16)),
    "temporal": (lambda: Temporal(gated=False), (6, 40)),
    "u-net": (UNet, (3, 32, 32)),
    "wave": (lambda: Temporal(gated=True), (6, 40)),
}


def exported(name: str) -> bytes:
    """Return the ONNX file of a network with seeded weights, its batch free."""
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = build().eval()
    outputs = ["boxes", "classes"] if name == "detector" else ["y"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (torch.randn(1, *shape),),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=outputs,
            dynamic_axes={value: {0: "batch"} for value in ("x", *outputs)},
        )
        return file.read_bytes()
