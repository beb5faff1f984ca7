"""The networks that this project makes itself for ``optimizer_vs_peers``: built in torch, seeded, exported to ONNX.

Weights are torch's seeded random ones. Batch norms get seeded scales, and running statistics from one pass over
seeded rows. So that answers can be compared at all, the last layer of each is fitted (ridge regression) to ten made-up
classes: patterns under noise. What is compared between artifacts is agreement; nothing here is a claim of accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.architectures import (
    cnn_1d,
    ds_cnn,
    gru,
    lstm,
    mobilenet_v1,
    mobilenet_v2,
    perceptron,
    resnet8,
    torch_encoder,
    transformer,
)

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
        body=mobilenet_v2,
        features=1280,
        classes=1000,
        noise=0.3,
        parameters=3_505_000,
    ),
    Network(name="ds-cnn", shape=(1, 49, 10), body=ds_cnn, features=64, classes=12, noise=1.0, parameters=23_000),
    Network(name="resnet8", shape=(3, 32, 32), body=resnet8, features=64, noise=1.0, parameters=78_000),
    Network(name="mlp", shape=(64,), body=perceptron, features=128, noise=1.0, parameters=26_000),
    Network(name="cnn-1d", shape=(6, 128), body=cnn_1d, features=64, noise=2.0, parameters=12_000),
    Network(
        name="transformer",
        shape=(32, 16),
        body=transformer,
        features=64,
        transformer=True,
        noise=0.4,
        parameters=104_000,
    ),
    Network(
        name="torch-encoder",
        shape=(32, 16),
        body=torch_encoder,
        features=64,
        transformer=True,
        noise=0.4,
        parameters=102_000,
    ),
    Network(name="gru", shape=(32, 16), body=gru, features=64, noise=1.0, parameters=16_500),
    Network(name="lstm", shape=(32, 16), body=lstm, features=64, noise=1.0, parameters=21_800),
    Network(
        name="mobilenet-v1-0.25-96",
        shape=(3, 96, 96),
        body=mobilenet_v1,
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
    set_batch_norms(body, inputs[:_STATISTICS_ROWS])
    _fit(head, _features(body, inputs), labels)
    return nn.Sequential(body, head).eval()


def exported(network: Network, *, seed: int) -> bytes:
    """Return the network as one ONNX file: input ``x``, output ``y``, a batch of any size."""
    import torch

    from optimizer.formats.quiet import quiet

    module = build(network, seed=seed)
    with quiet():
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
    content: bytes = program.model_proto.SerializeToString(deterministic=True)
    return content


def _patterns(network: Network) -> NDArray[np.float32]:
    """Return one smooth pattern for each class: seeded, coarse values, repeated over the places of the last axes."""
    chance = np.random.default_rng(sum(map(ord, network.name)))
    channels, places = (network.shape[:1], network.shape[1:]) if len(network.shape) > 1 else ((1,), network.shape)
    coarse = tuple(min(_CELLS, size) for size in places) if len(network.shape) > 1 else places
    values = chance.standard_normal((CLASSES, *channels, *coarse)).astype(np.float32)
    for axis, (size, few) in enumerate(zip(places, coarse, strict=True)):
        values = values.repeat(-(-size // few), axis=2 + axis).take(range(size), axis=2 + axis)
    return values.reshape(CLASSES, *network.shape)


def set_batch_norms(body: nn.Module, rows: torch.Tensor) -> None:
    """Give batch norms scales, and statistics from the rows; strengthen the middle of depthwise kernels."""
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
