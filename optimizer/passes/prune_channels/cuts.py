"""Making the cuts of one step: the least important atoms of each unit go, and branches that are to be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.passes.prune_channels.importance import Importance, atom_scores, least_important
from optimizer.passes.prune_channels.units import cut_unit, leave_out, shrunk
from optimizer.passes.prune_channels.widths import halfway

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from torch.fx import GraphModule

    from optimizer.passes.prune_channels.recovery import Cuts
    from optimizer.passes.prune_channels.units import Structure


def cut_to(
    structure: Structure,
    final: Mapping[str, int],
    *,
    share: float,
    multiple: int,
    scored: tuple[torch.Tensor, ...],
    importance: Importance,
) -> Callable[[GraphModule, Cuts | None], Cuts]:
    """Return what cuts a network that far towards its final widths.

    Args:
        structure: what of the dense network can be cut.
        final: channels by layer, from ``wanted_widths``.
        share: how far on the way, 0 to 1; branches are left out with the last step.
        multiple: to which widths on the way are rounded.
        scored: rows over which importance is taken.
        importance: which channels go first.
    """

    def cut(net: GraphModule, known: Cuts | None) -> Cuts:
        decided = _decided(net) if known is None else known
        units = {unit.layer: unit for unit in structure.units}
        few = tuple(one[:2] for one in scored)
        for layer, atoms in decided:
            if not atoms:
                leave_out(net, layer)
            else:
                cut_unit(net, shrunk(net, units[layer]), atoms, few)
        return decided

    def _decided(net: GraphModule) -> Cuts:
        decided: Cuts = []
        for unit in structure.units:
            if final.get(unit.layer, unit.channels) >= unit.channels:
                continue
            now = shrunk(net, unit)
            goal = halfway(unit, final[unit.layer], share=share, multiple=multiple)
            count = (now.channels - goal) // unit.block
            if count > 0:
                decided.append((unit.layer, least_important(atom_scores(net, now, scored, importance), count)))
        if share >= 1:
            decided += [(layer, []) for layer, width in final.items() if width == 0]
        return decided

    return cut
