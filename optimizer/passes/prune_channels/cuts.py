"""Making the cuts of one step: the least important atoms of each unit go, and branches that are to be left out.

What reads a cut unit gets new weights at once: those with which it answers nearest to what it answered before, by
least squares over a few rows. That alone takes most of a cut's harm away, before anything is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.importance import Importance, atom_scores, least_important
from optimizer.passes.prune_channels.units import copied, cut_unit, leave_out, shrunk
from optimizer.passes.prune_channels.widths import halfway

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from torch import Tensor
    from torch.fx import GraphModule

    from optimizer.passes.prune_channels.checkpoints import Cuts
    from optimizer.passes.prune_channels.units import Structure, Unit

_RIDGE: Final = 1e-3
"""Of the mean square of what is read: how strongly weights are held where they are."""
_MOST_PLACES: Final = 1 << 16
"""Of rows and their positions, taken evenly: as many equations as a layer is fitted to at most."""
_MOST_WEIGHTS: Final = 1 << 13
"""Of one output: layers with more are left as they are."""


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
    units = {unit.layer: unit for unit in structure.units}

    def cut(net: GraphModule, known: Cuts | None) -> Cuts:
        decided = _decided(net) if known is None else known
        before = copied(net) if known is None else None  # what is gone on with is fitted already
        for layer, atoms in decided:
            if atoms:
                _cut_fitting(net, units[layer], atoms, scored, before=before)
            else:
                leave_out(net, layer)
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


def _cut_fitting(
    net: GraphModule, unit: Unit, atoms: list[int], rows: tuple[torch.Tensor, ...], *, before: GraphModule | None
) -> None:
    """Cut the atoms, and fit what reads the unit to what it answered before; where that is known."""
    if before is None:
        cut_unit(net, shrunk(net, unit), atoms, tuple(one[:2] for one in rows))
        return
    just_before = copied(net)
    cut_unit(net, shrunk(net, unit), atoms, tuple(one[:2] for one in rows))
    for reader in unit.readers:
        same = _answers_of(before, reader) == _answers_of(net, reader)
        refit(net, before if same else just_before, reader, rows)


def _answers_of(net: GraphModule, layer: str) -> int:
    """Return how many channels the layer gives; 0 where it does not say."""
    module: Any = net.get_submodule(layer)
    return int(getattr(module, "out_channels", getattr(module, "out_features", 0)))


def refit(net: GraphModule, before: GraphModule, layer: str, rows: tuple[torch.Tensor, ...]) -> None:
    """Give the layer the weights with which it answers nearest to what it answered before; in place.

    A layer that is called more than once, is grouped, was cut itself or has very many weights is left as it is.

    Args:
        net: the network after a cut.
        before: the network before it.
        layer: name of a layer that is in both.
        rows: what both are shown.
    """
    torch = torch_library()
    module: Any = net.get_submodule(layer)
    with torch.no_grad():
        wanted, given = _seen(before, layer, rows), _seen(net, layer, rows)
        if wanted is None or given is None:
            return
        read = _columns(module, given[0])
        if read is None or read.shape[1] > _MOST_WEIGHTS:
            return
        if wanted[1].shape != given[1].shape:
            return
        channel = 1 if module.weight.dim() > 2 else wanted[1].dim() - 1
        answers = wanted[1].movedim(channel, -1).flatten(0, -2)
        few = slice(None, None, -(-len(read) // _MOST_PLACES))
        read, answers = read[few].double(), answers[few].double()
        if module.bias is not None:
            answers = answers - module.bias
        square, present = read.T @ read, module.weight.flatten(1).double().T
        ridge = _RIDGE * square.diagonal().mean().clamp(min=1e-12)
        square.diagonal().add_(ridge)
        fitted = torch.linalg.solve(square, read.T @ answers + ridge * present)
        module.weight.copy_(fitted.T.reshape(module.weight.shape))


def _seen(net: GraphModule, layer: str, rows: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return what the layer reads and answers for the rows; None where it is called more than once."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = net.get_submodule(layer).register_forward_hook(lambda _net, given, answer: seen.append((given[0], answer)))
    try:
        net(*rows)
    finally:
        hook.remove()
    return seen[0] if len(seen) == 1 else None


def _columns(module: Any, given: torch.Tensor) -> torch.Tensor | None:
    """Return what each output reads at each position, a row each; None for layers that are not fitted."""
    torch = torch_library()
    if isinstance(module, torch.nn.Linear):
        return given.flatten(0, -2)
    if not isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d) or module.groups > 1 or module.padding_mode != "zeros":
        return None
    if isinstance(module.padding, str):
        return None
    sizes: list[Any] = [module.kernel_size, module.dilation, module.padding, module.stride]
    if given.dim() == 3:
        given, sizes = given[:, :, None], [(first, *own) for first, own in zip((1, 1, 0, 1), sizes, strict=True)]
    columns: Tensor = torch.nn.functional.unfold(given, *sizes)
    return columns.movedim(1, -1).flatten(0, -2)
