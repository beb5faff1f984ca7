"""Teaching a cut network what the original answers, without labels: outputs, and tensors inside that kept their shape.

The original answers whatever it is shown, so rows are also shown mixed, mirrored and shifted: its answer to such a
row is as good a lesson as any.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Final

from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.modules import Node, operator
from optimizer.passes.prune_channels.network import first_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import Tensor
    from torch.fx import GraphModule

_TEMPERATURE: Final = 2.0
_FEATURES: Final = 0.3
"""Weight of the tensors inside beside the outputs."""
_MOST_FEATURES: Final = 6
_SHIFT: Final = 8
"""An image is shifted by up to this part of its size."""
_IMAGE: Final = 4
_LEAST_SIDE: Final = 8


def with_features(net: GraphModule, names: Sequence[str]) -> GraphModule:
    """Return the network with further outputs: the tensors of these names; its layers are shared, not copied."""
    torch = torch_library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about the copy of its own trees
        graph = copy.deepcopy(net.graph)
    graph.set_codegen(torch.fx.graph.CodeGen())
    found = {node.name: node for node in graph.nodes}
    output = next(node for node in graph.nodes if node.op == "output")
    answers = [one for one in torch.utils._pytree.tree_leaves(output.args[0]) if one is not None]  # noqa: SLF001 as torch
    output.args = ((*answers, *(found[name] for name in names)),)
    shown: GraphModule = torch.fx.GraphModule(net, graph)
    return shown


def common_features(teacher: GraphModule, student: GraphModule, rows: tuple[torch.Tensor, ...]) -> tuple[str, ...]:
    """Return the names of sums and of what the last layer reads, where both networks have them in one shape."""
    torch = torch_library()
    there = {node.name for node in student.graph.nodes}
    names = [name for name in _telling(teacher) if name in there]
    with torch.no_grad():
        theirs, ours = (_features(with_features(net, names), rows, len(names)) for net in (teacher, student))
    alike = [name for name, one, other in zip(names, theirs, ours, strict=True) if one.shape == other.shape]
    return tuple(alike[-_MOST_FEATURES:])


def distillation_loss(given: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], *, features: int) -> torch.Tensor:
    """Return how far the answers, and the last ``features`` of them with less weight, are from the teacher's."""
    torch = torch_library()
    functional = torch.nn.functional
    loss: Tensor = torch.zeros(())
    answers = len(given) - features
    for place, (own, other) in enumerate(zip(given, wanted, strict=True)):
        if not other.is_floating_point():
            continue
        distance = functional.mse_loss(own, other) / (other.var() + 1e-6)
        if place >= answers:
            loss = loss + _FEATURES * distance / max(features, 1)
            continue
        loss = loss + distance
        if other.dim() > 1 and other.shape[-1] > 1:
            scores, truth = own / _TEMPERATURE, other / _TEMPERATURE
            shares = functional.log_softmax(truth, dim=-1).flatten(0, -2)
            loss = loss + _TEMPERATURE**2 * functional.kl_div(
                functional.log_softmax(scores, dim=-1).flatten(0, -2), shares, reduction="batchmean", log_target=True
            )
    return loss


def lessons(
    rows: tuple[torch.Tensor, ...], *, batch: int, fixed: bool, seed: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield every row once in seeded order, in batches, changed in seeded ways.

    Args:
        rows: tensors of one number of rows.
        batch: how many make a batch; a last one of fewer than two, or of another size where it is fixed, is left out.
        fixed: the network takes batches of exactly this size.
        seed: of order and changes.
    """
    torch = torch_library()
    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows[0]), generator=chance)
    for places in order.split(batch):
        if len(places) >= 2 and not (fixed and len(places) != batch):
            yield changed(tuple(one[places] for one in rows), chance)


def changed(rows: tuple[torch.Tensor, ...], chance: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Return the rows of a batch: images mirrored and shifted, half of all batches mixed row with row."""
    torch = torch_library()
    if any(not one.is_floating_point() for one in rows):
        return rows
    rows = tuple(_moved(one, chance) for one in rows)
    if float(torch.rand((), generator=chance)) < 0.5:
        return rows
    other = torch.randperm(len(rows[0]), generator=chance)
    share = torch.rand(len(rows[0]), generator=chance)
    return tuple(
        one * share.reshape(-1, *[1] * (one.dim() - 1)) + one[other] * (1 - share.reshape(-1, *[1] * (one.dim() - 1)))
        for one in rows
    )


def _moved(rows: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Return images shifted and, half of the time, mirrored; everything else as it is."""
    torch = torch_library()
    if rows.dim() != _IMAGE or min(rows.shape[2:]) < _LEAST_SIDE:
        return rows
    if float(torch.rand((), generator=chance)) < 0.5:
        rows = rows.flip(3)
    reach = min(rows.shape[2:]) // _SHIFT
    down, right = (int(torch.randint(0, 2 * reach + 1, (), generator=chance)) for _ in range(2))
    padded = torch.nn.functional.pad(rows, (reach, reach, reach, reach), mode="replicate")
    shown: Tensor = padded[:, :, down : down + rows.shape[2], right : right + rows.shape[3]]
    return shown


def _telling(net: GraphModule) -> Iterator[str]:
    last: Node | None = None
    for node in net.graph.nodes:
        if operator(node) in ("add", "add_") and len(node.all_input_nodes) == 2:
            yield node.name
        if node.op == "call_module":
            last = node
    if last is not None and last.args[0].op not in ("placeholder", "get_attr"):
        yield last.args[0].name


def _features(net: GraphModule, rows: tuple[torch.Tensor, ...], count: int) -> list[torch.Tensor]:
    answers = first_output(net(*rows))
    return answers[len(answers) - count :]
