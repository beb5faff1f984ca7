"""Layers of an exported program as torch's own modules: what Torch-Pruning can cut, and what can be trained.

``torch.export`` leaves calls of operators on bare tensors. Each call whose weights are parameters becomes the module
that makes the same call; whatever else there is stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from optimizer.formats.torch_format import torch_library

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule
    from torch.nn import Module

Node: TypeAlias = Any
"""A node of a torch.fx graph; torch's own hints let its arguments be anything at all."""

_CONVOLUTIONS: Final = {"conv1d": "Conv1d", "conv2d": "Conv2d", "conv3d": "Conv3d"}
_TRANSPOSED: Final = {"conv_transpose1d": "ConvTranspose1d", "conv_transpose2d": "ConvTranspose2d"}
_SIZES: Final = ("stride", "padding", "dilation", "output_padding")


def use_modules(net: GraphModule) -> None:
    """Turn each layer of the graph into a module of the name that its weights have."""
    known: dict[tuple[object, ...], str] = {}
    for node in list(net.graph.nodes):
        make = _MAKERS.get(operator(node))
        weights = [one for one in node.all_input_nodes if one.op == "get_attr"]
        if make is None or not weights:
            continue
        given = arguments(node)
        if any(not _is_weight(given.get(key)) for key in ("weight", "bias") if given.get(key) is not None):
            continue
        name = _fitting_name(net, str(weights[0].target))
        key = (operator(node), *(str(one.target) for one in weights), str(_plain(given)))
        if key not in known:
            module = make(net, given)
            net.add_submodule(name, module)
            known[key] = name
        with net.graph.inserting_before(node):
            call = net.graph.call_module(known[key], (given["indices" if "indices" in given else "input"],))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        net.graph.erase_node(node)


def drop_unused(net: GraphModule) -> None:
    """Drop each call whose answer nobody reads; in an exported program none has another effect."""
    for node in reversed(list(net.graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            net.graph.erase_node(node)


def operator(node: Node) -> str:
    """Return the plain name of the operator that a node calls, as in ``conv2d``; empty where it calls none.

    >>> from types import SimpleNamespace
    >>> operator(SimpleNamespace(op="placeholder", target="row"))
    ''
    """
    if node.op != "call_function":
        return ""
    return str(getattr(node.target, "_opname", getattr(node.target, "__name__", "")))


def arguments(node: Node) -> dict[str, Any]:
    """Return all arguments of a call of an operator by name, defaults included; ``self`` is called ``input``."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {}
    given = {one.name: one.default_value for one in schema.arguments if one.has_default_value()}
    given.update(zip((one.name for one in schema.arguments), node.args, strict=False))
    given.update(node.kwargs)
    if "self" in given:
        given["input"] = given.pop("self")
    return given


def tensor_at(net: GraphModule, node: Node | None) -> torch.Tensor | None:
    """Return the parameter or buffer that a ``get_attr`` node reads; None for no node."""
    if node is None:
        return None
    value: Any = net
    for part in str(node.target).split("."):
        value = getattr(value, part)
    tensor: torch.Tensor = value
    return tensor


def _is_weight(value: object) -> bool:
    return getattr(value, "op", "") == "get_attr"


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are no tensors."""
    return {key: value for key, value in given.items() if not hasattr(value, "op")}


def _fitting_name(net: GraphModule, weight: str) -> str:
    """Return the name of the layer whose weight it is: ``block.conv`` of ``block.conv.weight``."""
    parent, _, last = weight.rpartition(".")
    stem = parent if last == "weight" else f"{parent}.{last.removesuffix('_weight')}".strip(".")
    name = stem or "layer"
    taken = {str(node.target) for node in net.graph.nodes if node.op == "call_module"}
    if name not in taken:
        return name
    return next(f"{name}_{place}" for place in range(2, len(taken) + 3) if f"{name}_{place}" not in taken)


def _set(module: Any, net: GraphModule, given: Mapping[str, Any]) -> torch.nn.Module:
    """Give the module the weights of the call."""
    torch = torch_library()
    for own, key in (("weight", "weight"), ("bias", "bias")):
        tensor = tensor_at(net, given.get(key))
        if tensor is not None:
            setattr(module, own, torch.nn.Parameter(tensor.detach().clone()))
    for key in ("running_mean", "running_var"):
        tensor = tensor_at(net, given.get(key))
        if tensor is not None:
            module.register_buffer(key, tensor.detach().clone())
    result: Module = module
    return result


def _convolution(kind: str, *, transposed: bool) -> Callable[[GraphModule, Mapping[str, Any]], torch.nn.Module]:
    def make(net: GraphModule, given: Mapping[str, Any]) -> torch.nn.Module:
        weight = tensor_at(net, given["weight"])
        if weight is None:
            raise TypeError("a convolution has a weight")
        rank, groups = weight.dim() - 2, int(given["groups"])
        ends = (weight.shape[0], weight.shape[1] * groups)
        inputs, outputs = ends if transposed else reversed(ends)
        sizes = {key: _each(given[key], rank) for key in _SIZES if key in given}
        module = getattr(torch_library().nn, kind)(
            inputs, outputs, tuple(weight.shape[2:]), groups=groups, bias=given.get("bias") is not None, **sizes
        )
        return _set(module, net, given)

    return make


def _each(value: Any, rank: int) -> Any:
    """Return a size for each axis; the word of a padding stays a word."""
    if isinstance(value, str):
        return value
    sizes = tuple(value) if isinstance(value, list | tuple) else (value,)
    return sizes * rank if len(sizes) == 1 else sizes


def _linear(net: GraphModule, given: Mapping[str, Any]) -> torch.nn.Module:
    weight = tensor_at(net, given["weight"])
    if weight is None:
        raise TypeError("a dense layer has a weight")
    module = torch_library().nn.Linear(weight.shape[1], weight.shape[0], bias=given.get("bias") is not None)
    return _set(module, net, given)


def _batch_norm(net: GraphModule, given: Mapping[str, Any]) -> torch.nn.Module:
    torch = torch_library()
    rank = given["input"].meta["val"].dim()
    kind = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d, 5: torch.nn.BatchNorm3d}[rank]
    mean = tensor_at(net, given["running_mean"])
    if mean is None:
        raise TypeError("a batch norm of an exported program has its mean")
    affine = given.get("weight") is not None
    return _set(kind(len(mean), eps=given["eps"], momentum=given["momentum"], affine=affine), net, given)


def _layer_norm(net: GraphModule, given: Mapping[str, Any]) -> torch.nn.Module:
    affine = given.get("weight") is not None
    module = torch_library().nn.LayerNorm(
        tuple(given["normalized_shape"]),
        eps=given["eps"],
        elementwise_affine=affine,
        bias=given.get("bias") is not None,
    )
    return _set(module, net, given)


def _group_norm(net: GraphModule, given: Mapping[str, Any]) -> torch.nn.Module:
    channels = given["input"].meta["val"].shape[1]
    return _set(torch_library().nn.GroupNorm(given["num_groups"], channels, eps=given["eps"]), net, given)


def _embedding(net: GraphModule, given: Mapping[str, Any]) -> torch.nn.Module:
    weight = tensor_at(net, given["weight"])
    if weight is None:
        raise TypeError("a table has a weight")
    return _set(torch_library().nn.Embedding(weight.shape[0], weight.shape[1]), net, given)


def _prelu(net: GraphModule, given: Mapping[str, Any]) -> torch.nn.Module:
    weight = tensor_at(net, given["weight"])
    return _set(torch_library().nn.PReLU(1 if weight is None else weight.numel()), net, given)


_MAKERS: Final[Mapping[str, Callable[[GraphModule, Mapping[str, Any]], torch.nn.Module]]] = {
    **{name: _convolution(kind, transposed=False) for name, kind in _CONVOLUTIONS.items()},
    **{name: _convolution(kind, transposed=True) for name, kind in _TRANSPOSED.items()},
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "embedding": _embedding,
    "prelu": _prelu,
}
