"""Next versions of a network, made by really training it: last layer, all layers, from scratch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)
_BATCH: Final = 32
_PHOTOS_TRAINED: Final = 1_500
_DIGITS_FIRST: Final = 3_000
"""The first version of the digits' net saw these alone; its next versions see the others too."""
_DIGITS_TRAINED: Final = 7_000
_CENSUS_FIRST: Final = 10_000
_CENSUS_TRAINED: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class Network:
    """A net as it runs today, and the rows to make its next version with; no row is in both parts.

    ``last`` names the layer that is fine-tuned alone; ``scratch_epochs`` is how long training from nothing takes.
    """

    name: str
    net: nn.Module
    fresh: Callable[[], nn.Module]
    shape: tuple[int, ...]
    rows: NDArray[np.float32]
    label: NDArray[np.int64]
    held_rows: NDArray[np.float32]
    held_label: NDArray[np.int64]
    last: str
    scratch_epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a next version is trained: an optimizer's name, its rate, and what stays as it is."""

    optimizer: str = "sgd"
    rate: float = 1e-3
    frozen_norms: bool = False
    last_alone: bool = False
    epochs: int = 1


_RATES: Final = (("sgd", "1e-4"), ("sgd", "1e-3"), ("sgd", "5e-3"), ("adam", "1e-4"), ("adam", "1e-3"))
ALL_LAYERS: Final[Mapping[str, Training]] = {
    f"all layers, {'SGD' if name == 'sgd' else 'Adam'} {rate}{', frozen norms' if frozen else ''}": Training(
        optimizer=name, rate=float(rate), frozen_norms=frozen
    )
    for name, rate in _RATES
    for frozen in (False, True)
}
LAST_LAYER: Final = Training(last_alone=True, rate=1e-2)


def resnet20(data: Path) -> Network:
    """Return the published ResNet20; it never saw these copies of photographs."""
    import torch

    from benchmarks.conversion.zoo.published import resnet20 as built

    net = built()
    net.load_state_dict(torch.load(data / "image_cifar10" / "resnet20.pt", weights_only=True))
    with np.load(data / "image_cifar10" / "cifar10_jpeg_2000.npz") as file:
        rows = ((file["x"].astype(np.float32) / 255 - _MEAN) / _DEVIATION).transpose(0, 3, 1, 2).copy()
        label = file["y"].astype(np.int64)
    return Network(
        name="resnet20",
        net=net.eval(),
        fresh=built,
        shape=(1, 3, 32, 32),
        rows=rows[:_PHOTOS_TRAINED],
        label=label[:_PHOTOS_TRAINED],
        held_rows=rows[_PHOTOS_TRAINED:],
        held_label=label[_PHOTOS_TRAINED:],
        last="linear",
        scratch_epochs=2,
    )


def separable_digits(data: Path) -> Network:
    """Return a net of separable convolutions, trained here on the first 3,000 digits."""
    from benchmarks.pruning_cases import _separable_net as separable_net
    from benchmarks.pruning_cases import _trained as trained

    with np.load(data / "recurrent_mnist" / "mnist_t10k.npz") as file:
        order = np.random.default_rng(0).permutation(len(file["y"]))
        rows, label = file["x"][order].astype(np.float32)[:, None] / 255, file["y"][order].astype(np.int64)
    return Network(
        name="separable",
        net=trained(separable_net, rows[:_DIGITS_FIRST], label[:_DIGITS_FIRST], epochs=4),
        fresh=separable_net,
        shape=(1, 1, 28, 28),
        rows=rows[_DIGITS_FIRST:_DIGITS_TRAINED],
        label=label[_DIGITS_FIRST:_DIGITS_TRAINED],
        held_rows=rows[_DIGITS_TRAINED:],
        held_label=label[_DIGITS_TRAINED:],
        last="35",
        scratch_epochs=1,
    )


def adult(data: Path) -> Network:
    """Return the published perceptron over census rows."""
    import torch

    from benchmarks.conversion.zoo.published import adult as built

    net = built()
    net.load_state_dict(torch.load(data / "tabular_adult" / "adult_mlp.pt", weights_only=True))
    with np.load(data / "tabular_adult" / "adult.npz") as file:
        rows = file["x_train"][_CENSUS_FIRST:_CENSUS_TRAINED].astype(np.float32)
        label = file["y_train"][_CENSUS_FIRST:_CENSUS_TRAINED].astype(np.int64)
        held_rows, held_label = file["x_test"].astype(np.float32), file["y_test"].astype(np.int64)
    return Network(
        name="adult",
        net=net.eval(),
        fresh=built,
        shape=(1, 108),
        rows=rows,
        label=label,
        held_rows=held_rows,
        held_label=held_label,
        last="4",
        scratch_epochs=2,
    )


NETWORKS: Final[Mapping[str, Callable[[Path], Network]]] = {
    "resnet20": resnet20,
    "separable": separable_digits,
    "adult": adult,
}


def fine_tuned(network: Network, training: Training) -> nn.Module:
    """Return a copy of the net after the training, from a fixed seed."""
    net = copy.deepcopy(network.net)
    for name, parameter in net.named_parameters():
        parameter.requires_grad = not training.last_alone or name.startswith(f"{network.last}.")
    return _trained(net, network, training, still=training.frozen_norms or training.last_alone)


def retrained(network: Network) -> nn.Module:
    """Return a net trained from nothing."""
    import torch

    torch.manual_seed(1)
    plan = Training(optimizer="adam", rate=2e-3, epochs=network.scratch_epochs)
    return _trained(network.fresh(), network, plan, still=False)


def pruned(network: Network) -> nn.Module:
    """Return the net with a quarter of each layer's channels cut, trained for one epoch afterwards."""
    from device_profiles.host import host_profile
    from optimizer.calibration.rows import CalibrationSet
    from optimizer.model import Model
    from optimizer.passes.prune_channels import PruneChannels
    from optimizer.passes.prune_channels.network import open_network
    from optimizer.pipeline import Pipeline

    model = Model.from_torch(copy.deepcopy(network.net), inputs={"x": network.shape}, name=network.name)
    cut = PruneChannels(ratio=0.25, epochs=0, rounded_epochs=0)
    rows = CalibrationSet.of({"x": network.rows})
    product = Pipeline(cut).plan(model, host_profile(), calibration=rows).run()
    return _trained(open_network(product.model), network, Training(), still=False)


def _trained(net: nn.Module, network: Network, training: Training, *, still: bool) -> nn.Module:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    net.train()
    for module in net.modules():
        if still and isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad = False
    moved = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(moved, lr=training.rate)
        if training.optimizer == "adam"
        else torch.optim.SGD(moved, lr=training.rate, momentum=0.9)
    )
    rows, label = torch.from_numpy(network.rows), torch.from_numpy(network.label)
    for _ in range(training.epochs):
        order = torch.randperm(len(rows))
        for first in range(0, len(rows), _BATCH):
            places = order[first : first + _BATCH]
            optimizer.zero_grad()
            loss: Any = torch.nn.functional.cross_entropy(net(rows[places]), label[places])
            loss.backward()
            optimizer.step()
    return net.eval()
