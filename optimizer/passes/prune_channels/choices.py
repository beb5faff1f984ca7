"""What could be cut, one cut at a time, and how much each alone moves the answers: a search weighs it against time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.passes.prune_channels.widths import fitting

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray
    from torch.fx import GraphModule

    from optimizer.model import Model
    from optimizer.passes.prune_channels.units import Structure, Unit

_SHARES: Final = (0.75, 0.5, 0.25)
"""Widths that are tried, as shares of the channels."""
_ROWS: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One layer's channels brought to a width (0: its branch left out), and how much that alone moves the answers.

    ``error`` is the mean square of the change as a share of the answers' variance, untrained. ``within`` names the
    branches that the layer lies on: without them it is gone.
    """

    layer: str
    width: int
    error: float
    within: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What could be cut, and by name what cannot and why."""

    choices: tuple[Choice, ...]
    refused: Mapping[str, str]


def possible_choices(model: Model, rows: Mapping[str, NDArray[np.generic]], *, multiple: int = 8) -> Choices:
    """Return every cut that is worth weighing.

    Args:
        model: a torch program.
        rows: rows as the model takes them, by input name; none of those that judge.
        multiple: widths are multiples of it.

    Raises:
        PassFailed: nothing can be cut; names every layer with its reason.
    """
    from optimizer.formats.torch_format import torch_library
    from optimizer.passes.prune_channels.network import on_threads, open_network
    from optimizer.passes.prune_channels.units import structure_of

    net = open_network(model)
    count = model.fixed_batch or _ROWS
    seen = tuple(torch_library().from_numpy(np.array(rows[spec.name][:count])) for spec in model.inputs)
    with on_threads(1):
        structure = structure_of(net, tuple(one[: model.fixed_batch or 2] for one in seen))
        return Choices(choices=tuple(_choices(net, structure, seen, multiple)), refused=structure.refused)


def _choices(net: GraphModule, structure: Structure, rows: tuple[torch.Tensor, ...], multiple: int) -> Iterator[Choice]:
    from optimizer.passes.prune_channels.units import answers, branch_members, copied, leave_out

    before, members = answers(net, rows), branch_members(net)
    for unit in structure.units:
        within = tuple(name for name in structure.branches if {*unit.layers, *unit.readers} <= members[name])
        for width in _widths(unit, multiple):
            after = answers(_narrowed(net, structure, unit, width, rows), rows)
            yield Choice(layer=unit.layer, width=width, error=_moved(before, after), within=within)
    for layer in structure.branches:
        without = copied(net)
        leave_out(without, layer)
        yield Choice(layer=layer, width=0, error=_moved(before, answers(without, rows)))


def _widths(unit: Unit, multiple: int) -> Iterator[int]:
    widths = {fitting(unit, unit.channels * share, multiple) for share in _SHARES}
    yield from sorted(widths - {unit.channels}, reverse=True)


def _narrowed(
    net: GraphModule, structure: Structure, unit: Unit, width: int, rows: tuple[torch.Tensor, ...]
) -> GraphModule:
    from optimizer.passes.prune_channels.cuts import cut_to
    from optimizer.passes.prune_channels.importance import Importance
    from optimizer.passes.prune_channels.units import copied

    narrow = copied(net)
    cut = cut_to(structure, {unit.layer: width}, share=1, multiple=1, scored=rows, importance=Importance.ACTIVATION)
    cut(narrow, None)
    return narrow


def _moved(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    pairs = zip(before, after, strict=True)
    return float(np.mean([float((one - other).square().mean() / (one.var() + 1e-12)) for one, other in pairs]))
