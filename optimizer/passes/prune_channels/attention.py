"""Attention in one plain form: three dense layers, one core whose heads can be cut, one dense layer.

However a program spells it (one projection for all three, heads parted by any reshapes), between the dense layers
data only move. So an index sent through the same moves says which output of which dense layer is read where. With
the layers' rows brought into the order of the heads, the moves go, and with them the sizes that no cut could change.
"""

from __future__ import annotations

import functools
import math
import operator as python_operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.modules import Node, arguments, drop_unused, operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch.fx import GraphModule
    from torch.nn import Linear

_MOVES: Final = frozenset(
    {
        *("view", "reshape", "unflatten", "flatten", "squeeze", "unsqueeze"),
        *("transpose", "permute", "t", "contiguous", "clone", "dropout"),
        *("select", "slice", "split", "split_with_sizes", "chunk", "unbind", "getitem"),
    }
)
_SCALES: Final = frozenset({"mul", "div"})
_PLACES: Final = 1 << 20
"""More outputs than any dense layer has for one position: parts an index into position and output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What attention reads of a dense layer: which output at (head, place in the head), and times what."""

    layer: Node
    outputs: torch.Tensor
    scale: float
    time_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spelt:
    """One attention as the graph spells it; ``answer`` is the node that gives it, by head."""

    answer: Node
    query: Node
    key: Node
    value: Node
    scale: float
    key_turned: bool


def plain_attention(net: GraphModule) -> None:
    """Rewrite each attention of the network that is understood; others stay as they are."""
    for spelt in list(_spelt(net)):
        reads = [_read(net, one, turned=turned) for one, turned in _sides(spelt)]
        if any(one is None for one in reads):
            continue
        query, key, value = (one for one in reads if one is not None)
        if len({(one.time_first, tuple(one.outputs.shape)) for one in (query, key, value)}) > 1:
            continue
        out = _taken(net, spelt.answer, query)
        if out is None:
            continue
        _write(net, (query, key, value), out, scale=spelt.scale)


def _sides(spelt: _Spelt) -> tuple[tuple[Node, bool], ...]:
    return (spelt.query, False), (spelt.key, spelt.key_turned), (spelt.value, False)


def _spelt(net: GraphModule) -> Iterator[_Spelt]:
    for node in net.graph.nodes:
        if operator(node) == "scaled_dot_product_attention":
            given = arguments(node)
            if given["attn_mask"] is None and not given["is_causal"] and not given.get("enable_gqa"):
                width = given["query"].meta["val"].shape[-1]
                scale = given["scale"] if given["scale"] is not None else 1 / math.sqrt(width)
                yield _Spelt(
                    answer=node,
                    query=given["query"],
                    key=given["key"],
                    value=given["value"],
                    scale=float(scale),
                    key_turned=False,
                )
        elif operator(node) == "softmax" and arguments(node)["dim"] in (-1, node.meta["val"].dim() - 1):
            yield from _spelt_out(node)


def _spelt_out(softmax: Node) -> Iterator[_Spelt]:
    """Yield the attention around a softmax, if there is one: ``softmax(q @ k * scale) @ v``."""
    scores, scale = _unscaled(arguments(softmax)["input"])
    after = softmax
    while len(after.users) == 1 and operator(next(iter(after.users))) in ("dropout", "clone", "contiguous"):
        after = next(iter(after.users))
    user = next(iter(after.users), None)
    if user is None or len(after.users) != 1 or operator(scores) != "matmul" or operator(user) != "matmul":
        return
    if user.args[0] is after and len(user.meta["val"].shape) == 4:
        query, key = scores.args
        yield _Spelt(answer=user, query=query, key=key, value=user.args[1], scale=scale, key_turned=True)


def _unscaled(node: Node) -> tuple[Node, float]:
    """Return what a chain of multiplications by numbers begins with, and their product."""
    scale = 1.0
    while operator(node) in _SCALES and isinstance(node.args[1], int | float):
        scale *= float(node.args[1]) if operator(node) == "mul" else 1 / float(node.args[1])
        node = node.args[0]
    return node, scale


def _read(net: GraphModule, node: Node, *, turned: bool) -> _Read | None:
    """Return what the tensor (n, heads, time, place) is of a dense layer's output; None where it is something else."""
    torch = torch_library()
    chain, scale = _back_to_layer(net, node)
    if not chain:
        return None
    layer = chain[0]
    shape = [int(size) if isinstance(size, int) else 2 for size in layer.meta["val"].shape]
    if len(shape) != 3:
        return None
    numbers = torch.arange(shape[0] * shape[1])[:, None] * _PLACES + torch.arange(shape[2])
    moved = _moved(chain, numbers.reshape(shape))
    if moved is None or moved.dim() != 4:
        return None
    moved = moved.transpose(-2, -1) if turned else moved
    positions, outputs = moved // _PLACES, moved % _PLACES
    rows, _, time, _ = moved.shape
    by_row = torch.arange(rows)[:, None] * time + torch.arange(time)
    by_time = torch.arange(rows)[:, None] + torch.arange(time) * rows
    wide = positions == positions[:, :1, :, :1]
    if not bool(wide.all()) or not bool((outputs == outputs[:1, :, :1]).all()):
        return None
    seen = positions[:, 0, :, 0]
    if torch.equal(seen, by_row):
        return _Read(layer=layer, outputs=outputs[0, :, 0], scale=scale, time_first=False)
    return (
        _Read(layer=layer, outputs=outputs[0, :, 0], scale=scale, time_first=True)
        if torch.equal(seen, by_time)
        else None
    )


def _back_to_layer(net: GraphModule, node: Node) -> tuple[list[Node], float]:
    """Return the moves from a dense layer to the node, the layer first, and what the values are multiplied by."""
    chain, scale = list[Node](), 1.0
    while True:
        if node.op == "call_module":
            dense = isinstance(net.get_submodule(str(node.target)), torch_library().nn.Linear)
            return ([node, *reversed(chain)], scale) if dense else ([], 1.0)
        plain, factor = _unscaled(node)
        scale *= factor
        if plain is not node:
            node = plain
            continue
        if operator(node) not in _MOVES:
            return [], 1.0
        chain.append(node)
        node = node.all_input_nodes[0]


def _moved(chain: list[Node], numbers: torch.Tensor) -> torch.Tensor | None:
    """Return the numbers after the moves that follow the first of the chain; None where they do not fit."""
    values: dict[Node, Any] = {chain[0]: numbers}
    try:
        for node in chain[1:]:
            before = {one: values[one] if one in values else _size(one) for one in node.all_input_nodes}
            given, named = _filled((node.args, node.kwargs), before)
            values[node] = given[0] if operator(node) == "dropout" else node.target(*given, **named)
            for scaled in node.users:
                plain, _ = _unscaled(scaled)
                if plain is node:
                    values[scaled] = values[node]
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError):
        return None
    moved: torch.Tensor = values[chain[-1]]
    return moved


def _filled(given: Any, values: dict[Node, Any]) -> Any:
    import torch.fx

    return torch.fx.node.map_arg(given, lambda one: values[one])


def _size(node: Node) -> int:
    """Return the number that a node computes of the inputs' sizes, for a batch of 2."""
    if operator(node) == "sym_size":
        value = arguments(node)["input"].meta["val"].shape[arguments(node)["dim"]]
        return int(value) if isinstance(value, int) else 2
    if node.target in (python_operator.mul, python_operator.floordiv, python_operator.add):
        numbers = (_size(one) if hasattr(one, "op") else int(one) for one in node.args)
        return int(functools.reduce(node.target, numbers))
    raise ValueError(node.name)


def _taken(net: GraphModule, answer: Node, query: _Read) -> tuple[Node, Node, torch.Tensor] | None:
    """Return the dense layer that takes the answer in, its input, and which of its inputs (head, place) goes to."""
    torch = torch_library()
    chain, node = [answer], answer
    while len(node.users) == 1 and operator(next(iter(node.users))) in _MOVES:
        node = next(iter(node.users))
        chain.append(node)
    user = next(iter(node.users), None)
    if user is None or len(node.users) != 1 or user.op != "call_module":
        return None
    if not isinstance(net.get_submodule(str(user.target)), torch.nn.Linear):
        return None
    heads, width = query.outputs.shape
    time = int(answer.meta["val"].shape[2])
    positions = torch.arange(2)[:, None] + torch.arange(time) * 2 if query.time_first else torch.arange(2 * time)
    numbers = positions.reshape(2, 1, time, 1) * _PLACES + torch.arange(heads * width).reshape(1, heads, 1, width)
    moved = _moved(chain, numbers)
    if moved is None or moved.shape[-1] != heads * width:
        return None
    flat = moved.reshape(-1, heads * width)
    right = torch.arange(2 * time)[:, None] * _PLACES + flat[:1] % _PLACES
    return (user, node, flat[0] % _PLACES) if torch.equal(flat, right) else None


def _write(
    net: GraphModule,
    reads: tuple[_Read, _Read, _Read],
    out: tuple[Node, Node, torch.Tensor],
    *,
    scale: float,
) -> None:
    """Put layers for query, key and value, the core and the layer behind it in place of what was there."""
    torch = torch_library()
    user, before, order = out
    after: Any = net.get_submodule(str(user.target))
    heads = len(reads[0].outputs)
    name = str(user.target)
    core = attention_core(heads=heads, time_first=reads[0].time_first)
    net.add_submodule(f"{name}_heads", core)
    with net.graph.inserting_before(user):
        parts = []
        factors = (reads[0].scale * reads[1].scale * scale, 1.0, reads[2].scale)
        for word, read, factor in zip(("query", "key", "value"), reads, factors, strict=True):
            layer = _part(net.get_submodule(str(read.layer.target)), read.outputs.reshape(-1), factor)
            net.add_submodule(f"{name}_{word}", layer)
            parts.append(net.graph.call_module(f"{name}_{word}", (read.layer.args[0],)))
        joined = net.graph.call_module(f"{name}_heads", tuple(parts))
        if len(before.meta["val"].shape) == 2:
            joined = net.graph.call_function(torch.ops.aten.flatten.using_ints, (joined, 0, 1))
    weight = torch.empty_like(after.weight)
    weight[:, order] = after.weight.detach()
    after.weight = torch.nn.Parameter(weight)
    user.replace_input_with(before, joined)
    drop_unused(net)


def _part(layer: Any, outputs: torch.Tensor, factor: float) -> torch.nn.Module:
    """Return the dense layer that gives these outputs alone, multiplied."""
    torch = torch_library()
    part: Linear = torch.nn.Linear(layer.in_features, len(outputs), bias=layer.bias is not None)
    part.weight = torch.nn.Parameter(layer.weight.detach()[outputs] * factor)
    if layer.bias is not None:
        part.bias = torch.nn.Parameter(layer.bias.detach()[outputs] * factor)
    return part


def attention_core(*, heads: int, time_first: bool) -> torch.nn.Module:
    """Return ``softmax(q @ k) @ v`` by head, over (n, time, heads * width), or (time, n, ...) where time is first.

    Its attribute ``heads`` says how many there are. While ``traced`` is set it only adds the three up: that is how
    their channels hang together, in a form that Torch-Pruning understands.
    """
    import torch

    class AttentionCore(torch.nn.Module):
        """See ``attention_core``."""

        def __init__(self) -> None:
            super().__init__()
            self.heads, self.traced = heads, False

        def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            """Return the attended values, of the query's shape."""
            if self.traced:
                return query + key + value
            query, key, value = (self._parted(one) for one in (query, key, value))
            answer = torch.softmax(query @ key.transpose(-2, -1), dim=-1) @ value
            order = (2, 0, 1, 3) if time_first else (0, 2, 1, 3)
            return answer.permute(order).flatten(2)

        def _parted(self, rows: torch.Tensor) -> torch.Tensor:
            parted = rows.reshape(*rows.shape[:2], self.heads, -1)
            return parted.permute((1, 2, 0, 3) if time_first else (0, 2, 1, 3))

    return AttentionCore()
