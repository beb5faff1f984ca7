"""Every network of the zoo by name: what it takes, and how it is built, here and in litert-torch's environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from benchmarks.conversion.zoo import images, pictures, published, sequences
from benchmarks.networks import NETWORKS, Network, build, set_batch_norms

TOKENS: Final = "tokens"
MASK: Final = "mask"
_STATISTICS_ROWS: Final = 16

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Zoo:
    """One network: the shape and kind of each input, without the batch, and its body with random weights.

    ``kinds`` are FLOATS, or ``tokens`` (numbers below ``vocabulary``) and ``mask`` (ones, then zeros), int64.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...]
    make: Callable[[], nn.Module]
    kinds: tuple[str, ...] = ("floats",)
    vocabulary: int = 0


MADE: Final[tuple[Zoo, ...]] = (
    Zoo(name="mobilenet-v3", inputs=((3, 96, 96),), make=images.mobilenet_v3),
    Zoo(name="efficientnet", inputs=((3, 96, 96),), make=images.efficientnet),
    Zoo(name="shufflenet", inputs=((3, 96, 96),), make=images.shufflenet),
    Zoo(name="squeezenet", inputs=((3, 96, 96),), make=images.squeezenet),
    Zoo(name="densenet", inputs=((3, 64, 64),), make=images.densenet),
    Zoo(name="resnext", inputs=((3, 64, 64),), make=images.resnext),
    Zoo(name="convnext", inputs=((3, 64, 64),), make=images.convnext),
    Zoo(name="unet", inputs=((3, 64, 64),), make=pictures.UNet),
    Zoo(name="super-resolution", inputs=((1, 40, 40),), make=pictures.super_resolution),
    Zoo(name="autoencoder", inputs=((1, 28, 28),), make=pictures.autoencoder),
    Zoo(name="ssd-head", inputs=((3, 96, 96),), make=pictures.SsdHead),
    Zoo(name="yolo-head", inputs=((3, 96, 96),), make=pictures.YoloHead),
    Zoo(name="tcn", inputs=((6, 64),), make=sequences.Tcn),
    Zoo(name="bidirectional-lstm", inputs=((24, 16),), make=sequences.bidirectional_lstm),
    Zoo(name="gru-2-layers", inputs=((24, 16),), make=sequences.two_layer_gru),
    Zoo(name="vit", inputs=((3, 32, 32),), make=sequences.VisionTransformer),
    Zoo(name="bert", inputs=((48,), (48,)), make=sequences.Bert, kinds=(TOKENS, MASK), vocabulary=500),
    Zoo(name="mixer", inputs=((3, 32, 32),), make=sequences.Mixer),
)
PUBLISHED: Final[dict[str, Callable[[], nn.Module]]] = {
    "resnet20": published.resnet20,
    "resnet32": published.resnet32,
    "cmapss-cnn": published.RemainingLife,
    "adult-mlp": published.adult,
}


def made(name: str, *, seed: int) -> nn.Module:
    """Return a network with the random weights of the seed, in eval mode."""
    network = next((one for one in NETWORKS if one.name == name), None)
    if network is not None:
        return build(network, seed=seed)
    zoo = next(one for one in MADE if one.name == name)
    torch.manual_seed(seed)
    module = zoo.make()
    if zoo.kinds == ("floats",):
        set_batch_norms(module, torch.randn(_STATISTICS_ROWS, *zoo.inputs[0]))
    return module.eval()


def rebuilt(name: str, weights: Weights) -> nn.Module:
    """Return a network with these weights, in eval mode; ``minilm`` by the weights' published names."""
    if name == "minilm":
        from benchmarks.minilm import build_encoder

        return build_encoder(weights)
    module = PUBLISHED[name]() if name in PUBLISHED else _empty(name)
    module.load_state_dict(weights)
    return module.eval()


def _empty(name: str) -> nn.Module:
    network: Network | None = next((one for one in NETWORKS if one.name == name), None)
    if network is not None:
        return nn.Sequential(network.body(), nn.Linear(network.features, network.classes))
    return next(one for one in MADE if one.name == name).make()
