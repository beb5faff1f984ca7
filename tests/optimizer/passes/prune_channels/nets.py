"""Small networks of torch, seeded, one for each way in which channels hang together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from optimizer.model import Model
from optimizer.passes.prune_channels.network import open_network
from optimizer.passes.prune_channels.units import Structure, Unit, structure_of

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

IMAGE = (3, 8, 8)


def an_image_model(kind: str) -> Model:
    """Return one of the image networks below, exported."""
    return _exported(kind, IMAGE)


@cache
def _exported(kind: str, shape: tuple[int, ...]) -> Model:
    import torch

    torch.manual_seed(4)
    net = _NETS[kind]()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
    return Model.from_torch(net, inputs={"x": (1, *shape)}, name=kind)


def a_line_model(kind: str) -> Model:
    """Return a network over 6 steps of 8 values, exported."""
    return _exported(kind, (6, 8))


def rows_of(model: Model, count: int = 3) -> tuple[torch.Tensor, ...]:
    """Return seeded rows for the model."""
    import torch

    chance = torch.Generator().manual_seed(9)
    return tuple(torch.randn((count, *spec.shape[1:]), generator=chance) for spec in model.inputs)


def opened(model: Model) -> tuple[GraphModule, Structure]:
    """Return the model's network and what can be cut of it."""
    net = open_network(model)
    return net, structure_of(net, rows_of(model))


def unit_named(structure: Structure, layer: str) -> Unit:
    """Return the unit that begins with the layer."""
    return {unit.layer: unit for unit in structure.units}[layer]


def _plain() -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.SiLU(),
        nn.Conv2d(16, 8, 3, stride=2), nn.Sigmoid(), nn.Flatten(), nn.Linear(72, 5),
    )  # fmt: skip


def _separable() -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 3, groups=16), nn.BatchNorm2d(16), nn.ReLU6(),
        nn.Conv2d(16, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


def _grouped() -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=4), nn.ReLU(),
        nn.Conv2d(16, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip


def _residual() -> torch.nn.Module:
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
            self.two, self.norm, self.last = nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.Linear(16, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x).relu()
            x = (x + self.norm(self.two(self.one(x).relu()))).relu()
            scores: torch.Tensor = self.last(x.mean(dim=(2, 3)))
            return scores

    return Residual()


def _joined() -> torch.nn.Module:
    import torch
    from torch import nn

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 16, 1)
            self.mixed, self.last = nn.Conv2d(24, 8, 1), nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.cat((self.left(x).relu(), self.right(x).tanh()), dim=1)
            scores: torch.Tensor = self.last(self.mixed(x).relu().mean(dim=(2, 3)))
            return scores

    return Joined()


def _own_encoder() -> torch.nn.Module:
    """Return torch's own encoder layer, its time first inside, with both kinds of norms around it."""
    from torch import nn

    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
    return nn.Sequential(
        nn.Linear(8, 16), nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(16, 5)
    )


def _spelt_encoder() -> torch.nn.Module:
    """Return attention spelt out, one projection for all three, and a tail of two dense layers."""
    from torch import nn

    from benchmarks.peers.architectures import _attention
    from benchmarks.peers.architectures import _residual as added

    return nn.Sequential(
        nn.Linear(8, 16),
        added([nn.LayerNorm(16), _attention(16, 4)], [], relu=False),
        nn.Linear(16, 12),
        nn.Linear(12, 5),
    )


def _recurrent(kind: str) -> torch.nn.Module:
    from torch import nn

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.layer = nn.Conv1d(6, 6, 3, padding=1), getattr(nn, kind)(8, 16, batch_first=True)
            self.last = nn.Linear(16, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.last(self.layer(x)[0][:, -1])
            return scores

    return Last()


_NETS: Final[Mapping[str, Callable[[], torch.nn.Module]]] = {
    "plain": _plain,
    "separable": _separable,
    "grouped": _grouped,
    "residual": _residual,
    "joined": _joined,
    "own-encoder": _own_encoder,
    "spelt-encoder": _spelt_encoder,
    "gru": lambda: _recurrent("GRU"),
    "lstm": lambda: _recurrent("LSTM"),
}
