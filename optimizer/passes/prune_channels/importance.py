"""How much each channel of a unit matters: by its weights, by the loss's slope, or by what it carries."""

from __future__ import annotations

import warnings
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.network import first_output
from optimizer.passes.prune_channels.units import unit_group

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch.fx import GraphModule

    from optimizer.passes.prune_channels.units import Unit


class Importance(StrEnum):
    """What is taken for a channel's importance."""

    MAGNITUDE = "magnitude"
    """The size of its weights in all layers of the unit; needs no rows."""
    TAYLOR = "taylor"
    """How much the answers would change to first order, over rows."""
    ACTIVATION = "activation"
    """How much it varies over rows, and how strongly that is read."""


def atom_scores(
    net: GraphModule, unit: Unit, rows: tuple[torch.Tensor, ...], importance: Importance
) -> NDArray[np.float64]:
    """Return one score for each atom of the unit, the larger the more it matters."""
    if importance is Importance.ACTIVATION:
        channels = _activations(net, unit, rows)
    else:
        channels = _group_scores(net, unit, rows, importance)
    return np.array([channels[list(atom)].sum() for atom in unit.atoms])


def least_important(scores: NDArray[np.float64], count: int) -> list[int]:
    """Return that many atoms with the lowest scores; of equal ones the later, in order.

    >>> least_important(np.array([3.0, 1.0, 2.0, 1.0]), 2)
    [1, 3]
    """
    order = np.lexsort((-np.arange(len(scores)), scores))
    return sorted(int(place) for place in order[:count])


def _group_scores(
    net: GraphModule, unit: Unit, rows: tuple[torch.Tensor, ...], importance: Importance
) -> NDArray[np.float64]:
    """Return Torch-Pruning's score of each channel over all layers of the unit."""
    import torch_pruning

    group = unit_group(net, unit, tuple(one[:2] for one in rows))
    if importance is Importance.TAYLOR:
        _take_slopes(net, rows)
        score: Any = torch_pruning.importance.GroupTaylorImportance()
    else:
        score = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = score(group)
    net.zero_grad(set_to_none=True)
    taken: NDArray[np.float64] = scores.detach().double().numpy()
    return taken


def _take_slopes(net: GraphModule, rows: tuple[torch.Tensor, ...]) -> None:
    """Leave in each weight the slope of the loss against the network's own answers, taken for the truth."""
    torch = torch_library()
    net.zero_grad(set_to_none=True)
    loss = torch.zeros(())
    for answer in first_output(net(*rows)):
        if answer.is_floating_point() and answer.dim() > 1 and answer.shape[-1] > 1:
            flat = answer.reshape(-1, answer.shape[-1])
            loss = loss + torch.nn.functional.cross_entropy(flat, flat.detach().argmax(dim=-1))
        elif answer.is_floating_point():
            loss = loss + answer.square().mean()
    loss.backward()


def _activations(net: GraphModule, unit: Unit, rows: tuple[torch.Tensor, ...]) -> NDArray[np.float64]:
    """Return the spread of each channel over rows, times the size of the weights that read it, squared."""
    torch, seen = torch_library(), list[Any]()
    last = net.get_submodule(unit.layers[0])
    hook = last.register_forward_hook(lambda _module, _inputs, answer: seen.append(answer.detach()))
    try:
        with torch.no_grad():
            net(*rows)
    finally:
        hook.remove()
    answer = seen[0]
    dense = isinstance(last, torch.nn.Linear)
    flat = answer.reshape(-1, answer.shape[-1]) if dense else answer.transpose(0, 1).flatten(1).T
    spread: NDArray[np.float64] = flat.double().var(dim=0).numpy()
    read = _group_scores(net, unit, rows, Importance.MAGNITUDE)
    product: NDArray[np.float64] = spread * read
    return product
