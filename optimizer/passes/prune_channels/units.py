"""What can be cut: groups of channels that hang together, by Torch-Pruning's graph, and branches that can be left out.

Torch-Pruning takes what it does not know for an element-wise operation, so nothing it says is believed before it
was tried: a unit counts only if the network, with some of the unit's channels at zero, answers the same after they
were cut. What cannot be cut is named with the reason.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from optimizer.errors import PassFailed
from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.modules import Node, operator
from optimizer.passes.prune_channels.network import finished, first_output, recurrent_layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from torch.fx import GraphModule

_PASSED: Final = frozenset({"relu", "relu_", "dropout", "hardtanh", "gelu", "silu", "contiguous", "clone"})
_CLOSE: Final = 1e-4
"""Of the largest answer: how far a cut network may be from the one with zeros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Channels that one number decides.

    Attributes:
        layer: name of the layer that gives them; the first, where several do.
        channels: how many that layer gives.
        atoms: which of the layer's outputs go together: one each, a head of attention, or one of each group.
        layers: names of all layers that give them or pass them on.
        readers: names of the layers that take them in.
        parts: into how many groups convolutions part the channels.
    """

    layer: str
    channels: int
    atoms: tuple[tuple[int, ...], ...]
    layers: tuple[str, ...]
    readers: tuple[str, ...] = ()
    parts: int = 1

    @property
    def block(self) -> int:
        """How many channels go together at least."""
        return len(self.atoms[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What of a network can be cut, which branches can go, and what cannot be cut and why."""

    units: tuple[Unit, ...]
    branches: tuple[str, ...]
    refused: Mapping[str, str]


def structure_of(net: GraphModule, rows: tuple[torch.Tensor, ...]) -> Structure:
    """Return what can be cut of the network; it is not changed.

    Args:
        net: the network, from ``open_network``.
        rows: a few rows for each input.

    Raises:
        PassFailed: nothing can be cut; names every layer with its reason.
    """
    refused = dict.fromkeys(recurrent_layers(net), "recurrent: its gates and its state share their channels over time")
    units = []
    for unit in _candidates(net, rows):
        reason = _refusal(net, unit, rows)
        if reason:
            refused[unit.layer] = reason
        else:
            units.append(unit)
    branches = tuple(name for name in branch_layers(net) if _can_go(net, name, rows))
    if not units and not branches:
        told = "; ".join(f"{name}: {why}" for name, why in refused.items()) or "it has no convolution or dense layer"
        raise PassFailed(f"prune-channels: nothing can be cut ({told}); leave this pass out")
    return Structure(units=tuple(units), branches=branches, refused=refused)


def cut_unit(net: GraphModule, unit: Unit, atoms: Sequence[int], rows: tuple[torch.Tensor, ...]) -> None:
    """Cut these atoms of the unit out of every layer that it changes; the network is changed in place."""
    idxs = sorted(index for atom in atoms for index in unit.atoms[atom])
    _group(net, unit.layer, idxs, rows).prune()
    for core in _cores(net):
        if _layer_before_core(net, core) in unit.layers:
            core.heads -= len(atoms)


def zero_unit(net: GraphModule, unit: Unit, atoms: Sequence[int], rows: tuple[torch.Tensor, ...]) -> None:
    """Set to zero what ``cut_unit`` would cut out."""
    torch = torch_library()
    idxs = sorted(index for atom in atoms for index in unit.atoms[atom])
    with torch.no_grad():
        for dep, places in _group(net, unit.layer, idxs, rows):
            _zero(dep.target.module, places, outputs=_outputs(dep))


def unit_group(net: GraphModule, unit: Unit, rows: tuple[torch.Tensor, ...]) -> Any:
    """Return Torch-Pruning's group of all channels of the unit."""
    return _group(net, unit.layer, list(range(unit.channels)), rows)


def shrunk(net: GraphModule, unit: Unit) -> Unit:
    """Return the unit as it is in the network now, after cuts."""
    module = net.get_submodule(unit.layer)
    channels = int(getattr(module, "out_channels", getattr(module, "out_features", 0)))
    heads = _heads(net, unit.layers)
    return dataclasses.replace(unit, channels=channels, atoms=_atoms(channels, heads=heads, parts=unit.parts))


def copied(net: GraphModule) -> GraphModule:
    """Return a copy that shares nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about the copy of its own trees
        return copy.deepcopy(net)


def branch_layers(net: GraphModule) -> tuple[str, ...]:
    """Return the last layer of each branch that is added to what it branched from."""
    return tuple(name for name, _, _ in _branches(net))


def branch_members(net: GraphModule) -> Mapping[str, frozenset[str]]:
    """Return for each branch, by its last layer, the layers that lie on it alone."""
    members = {}
    for name, added, kept in _branches(net):
        (branch,) = (one for one in added.all_input_nodes if one is not kept)
        alone = (_before(branch) | {branch}) - _before(kept)
        members[name] = frozenset(str(one.target) for one in alone if one.op == "call_module")
    return members


def leave_out(net: GraphModule, name: str) -> None:
    """Leave the branch that ends with the layer out: what it branched from goes on alone; changed in place."""
    for found, added, kept in _branches(net):
        if found == name:
            added.replace_all_uses_with(kept)
            finished(net)
            return
    raise PassFailed(f"prune-channels: no branch ends with {name!r}; these do: {', '.join(branch_layers(net))}")


def answers(net: GraphModule, rows: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """Return the float outputs of the network for the rows."""
    with torch_library().no_grad():
        return [one.double() for one in first_output(net(*rows)) if one.is_floating_point()]


def _candidates(net: GraphModule, rows: tuple[torch.Tensor, ...]) -> Iterator[Unit]:
    """Yield each group of channels in the order of the graph, whether it can be cut or not."""
    torch = torch_library()
    graph = _dependencies(net, rows)
    names = {module: name for name, module in net.named_modules()}
    roots = (torch.nn.modules.conv._ConvNd, torch.nn.Linear)  # noqa: SLF001 torch's only name for all convolutions
    seen: set[str] = set()
    for layer in dict.fromkeys(str(node.target) for node in net.graph.nodes if node.op == "call_module"):
        module = net.get_submodule(layer)
        if layer in seen or not isinstance(module, roots) or module not in graph.module2node:
            continue
        channels = int(getattr(module, "out_channels", getattr(module, "out_features", 0)))
        group = _cut_group(graph, module, list(range(channels)))
        known = [(names[dep.target.module], _outputs(dep)) for dep, _ in group if dep.target.module in names]
        gives = tuple(dict.fromkeys(name for name, outputs in known if outputs))
        seen.update(gives)
        parts = _parts(net, [name for name, _ in known])
        yield Unit(
            layer=layer,
            channels=channels,
            atoms=_atoms(channels, heads=_heads(net, gives), parts=parts),
            parts=parts,
            layers=gives,
            readers=tuple(dict.fromkeys(name for name, outputs in known if not outputs)),
        )


def _heads(net: GraphModule, layers: tuple[str, ...]) -> int:
    """Return how many heads the attention has that the layers feed; 0 where they feed none."""
    return next((core.heads for core in _cores(net) if _layer_before_core(net, core) in layers), 0)


def _cores(net: GraphModule) -> list[Any]:
    """Return the cores of attention."""
    return [one for one in net.modules() if hasattr(one, "traced")]


def _parts(net: GraphModule, layers: Sequence[str]) -> int:
    """Return into how many groups convolutions part the channels."""
    torch = torch_library()
    modules: list[Any] = [net.get_submodule(layer) for layer in layers]
    return max((int(one.groups) for one in modules if _is_grouped(one, torch)), default=1)


def _outputs(dep: Any) -> bool:
    """Whether a dependency of Torch-Pruning's changes what its layer gives."""
    return "out_channels" in dep.handler.__name__


def _atoms(channels: int, *, heads: int, parts: int) -> tuple[tuple[int, ...], ...]:
    """Return the outputs that go together: a head's, or one of each part of a grouped convolution.

    >>> _atoms(4, heads=2, parts=1), _atoms(4, heads=0, parts=2)
    (((0, 1), (2, 3)), ((0, 2), (1, 3)))
    """
    if heads:
        width = channels // heads
        return tuple(tuple(range(head * width, (head + 1) * width)) for head in range(heads))
    each = channels // parts
    return tuple(tuple(place + part * each for part in range(parts)) for place in range(each))


def _is_grouped(module: Any, torch: Any) -> bool:
    convolution = isinstance(module, torch.nn.modules.conv._ConvNd)  # noqa: SLF001 torch's only name for all of them
    return convolution and 1 < module.groups < max(module.in_channels, module.out_channels)


def _refusal(net: GraphModule, unit: Unit, rows: tuple[torch.Tensor, ...]) -> str:
    """Return why the unit cannot be cut; empty where cutting channels that are zero changes nothing."""
    torch = torch_library()
    if len(unit.atoms) < 2:
        return "it has a single channel"
    outputs = {str(node.target) for node in net.graph.nodes if node.op == "call_module" and _is_answer(node)}
    if outputs & set(unit.layers):
        return "its channels are the model's outputs"
    half = range(0, len(unit.atoms), 2)
    zeroed = copied(net)
    zero_unit(zeroed, unit, half, rows)
    cut = copied(zeroed)
    before = answers(zeroed, rows)
    try:
        cut_unit(cut, unit, half, rows)
        after = answers(cut, rows)
    except (RuntimeError, IndexError, ValueError, AttributeError, TypeError, KeyError) as error:
        return f"sizes in the program hang on its channels ({str(error).splitlines()[0][:80]})"
    scale = max((float(one.abs().max()) for one in before if one.numel()), default=1.0)
    same = all(
        one.shape == other.shape and float((one - other).abs().max()) <= _CLOSE * scale
        for one, other in zip(before, after, strict=True)
    )
    norms = [
        name for name in unit.layers if isinstance(net.get_submodule(name), torch.nn.LayerNorm | torch.nn.GroupNorm)
    ]
    if not same:
        return f"{norms[0]} normalizes over its channels" if norms else "what reads its channels mixes them"
    return ""


def _is_answer(node: Node) -> bool:
    """Whether the model's outputs are the layer's own channels, at most through activations and reshapes."""
    return any(user.op == "output" or (operator(user) in _PASSED and _is_answer(user)) for user in node.users)


def _group(net: GraphModule, layer: str, idxs: list[int], rows: tuple[torch.Tensor, ...]) -> Any:
    return _cut_group(_dependencies(net, rows), net.get_submodule(layer), idxs)


def _cut_group(graph: Any, module: Any, idxs: list[int]) -> Any:
    pruner = graph.get_pruner_of_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return graph.get_pruning_group(module, pruner.prune_out_channels, idxs)


def _dependencies(net: GraphModule, rows: tuple[torch.Tensor, ...]) -> Any:
    """Return Torch-Pruning's graph of the network; attention adds up what it joins while that looks."""
    import torch_pruning

    torch = torch_library()
    cores = _cores(net)
    for core in cores:
        core.traced = True
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            graph: Any = torch_pruning.DependencyGraph()
            return graph.build_dependency(net, example_inputs=rows, output_transform=_differentiable, verbose=False)
    finally:
        for core in cores:
            core.traced = False


def _differentiable(answer: Any) -> list[torch.Tensor]:
    return [one for one in first_output(answer) if one.grad_fn is not None]


def _layer_before_core(net: GraphModule, core: Any) -> str:
    """Return the name of the layer that gives the core its queries."""
    for node in net.graph.nodes:
        if node.op == "call_module" and net.get_submodule(str(node.target)) is core:
            return str(node.args[0].target)
    return ""


def _zero(module: Any, places: Sequence[int], *, outputs: bool) -> None:
    torch = torch_library()
    if not hasattr(module, "weight") or module.weight is None:
        return
    weight, index = module.weight, torch.as_tensor(list(places))
    transposed = bool(getattr(module, "transposed", False))
    grouped = getattr(module, "groups", 1) > 1
    if weight.dim() == 1 or outputs:
        if transposed and not grouped:
            weight[:, index] = 0
        else:
            weight[index] = 0
        if getattr(module, "bias", None) is not None:
            module.bias[index] = 0
    elif grouped:
        each = weight.shape[1]
        parts = weight.shape[0] // module.groups
        for place in places:
            weight[place // each * parts : (place // each + 1) * parts, place % each] = 0
    elif transposed:
        weight[index] = 0
    else:
        weight[:, index] = 0


def _branches(net: GraphModule) -> Iterator[tuple[str, Node, Node]]:
    """Yield the last layer of each branch, the addition, and what goes on alone without the branch.

    Of two that are added and come from one place, the branch is the one with more layers.
    """
    for node in net.graph.nodes:
        if operator(node) not in ("add", "add_") or len(node.all_input_nodes) != 2:
            continue
        one, other = node.all_input_nodes
        before_one, before_other = _before(one) | {one}, _before(other) | {other}
        if not any(shared.op != "get_attr" for shared in before_one & before_other):
            continue
        longer = _layers(before_one - before_other) > _layers(before_other - before_one)
        branch, kept = (one, other) if longer else (other, one)
        layer = _last_layer(branch)
        if layer is not None:
            yield str(layer.target), node, kept


def _layers(nodes: set[Node]) -> int:
    return sum(node.op == "call_module" for node in nodes)


def _last_layer(node: Node) -> Node | None:
    """Return the last layer of a branch."""
    while node.op != "call_module":
        if len(node.all_input_nodes) == 0 or len(node.users) > 1:
            return None
        node = node.all_input_nodes[0]
    return node


def _before(node: Node) -> set[Node]:
    """Return everything that the node is computed of."""
    seen: set[Node] = set()
    waiting = [node]
    while waiting:
        for one in waiting.pop().all_input_nodes:
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    return seen


def _can_go(net: GraphModule, name: str, rows: tuple[torch.Tensor, ...]) -> bool:
    """Whether the network runs without the branch and answers in the same shapes."""
    without = copied(net)
    leave_out(without, name)
    try:
        after = answers(without, rows)
    except (RuntimeError, IndexError, ValueError, TypeError):
        return False
    return [one.shape for one in after] == [one.shape for one in answers(net, rows)]
