"""A program as a network that can be cut and trained, and back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from optimizer.errors import ModelError, PassFailed, first_line
from optimizer.formats.quiet import quiet
from optimizer.formats.torch_export import export_program
from optimizer.formats.torch_format import ELEMENTS, open_program, torch_library
from optimizer.model import Format, Model
from optimizer.passes.prune_channels.modules import arguments, drop_unused, operator, use_modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import Tensor
    from torch.fx import GraphModule

    from contracts.tensors import TensorSpec

_RECURRENT: Final = frozenset({"gru", "lstm", "rnn_tanh", "rnn_relu"})


@contextlib.contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch work on so many threads inside the block.

    On a machine with other work, two threads that wait for each other took six times as long as one.
    """
    torch = torch_library()
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_network(model: Model) -> GraphModule:
    """Return the program's network: its layers are modules, its weights are parameters that train.

    Raises:
        ModelError: the bytes are no program that this torch reads.
    """
    torch = torch_library()
    program, _ = open_program(model.content, model.name)
    with quiet():
        net: GraphModule = program.module()
    for node in list(net.graph.nodes):
        if node.op == "call_module" and not node.users:
            net.graph.erase_node(node)  # what torch.export checks of its inputs
    _let_reshapes_follow(net)
    use_modules(net)
    from optimizer.passes.prune_channels.attention import plain_attention

    plain_attention(net)
    net = finished(torch.fx.GraphModule(net, net.graph))  # the module of a program can be neither trained nor copied
    for parameter in net.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    net.eval()
    return net


def finished(net: GraphModule) -> GraphModule:
    """Return the network, with its code made anew after its graph changed."""
    drop_unused(net)
    net.graph.lint()
    net.delete_all_unused_submodules()
    net.recompile()
    return net


def save_network(net: GraphModule, model: Model) -> Model:
    """Return the network as a program with the tensors of the model that it was made of.

    Raises:
        PassFailed: torch.export cannot follow what became of it.
    """
    net.eval()
    try:
        content = export_program(net, model.inputs).content
        program, _ = open_program(content, model.name)
        _forget_where(program)
        content = export_program(program, model.inputs).content
    except ModelError as error:
        raise PassFailed(f"{model.name} cannot be exported after it was cut ({first_line(error)})") from error
    return Model.from_bytes(Format.TORCH, content, name=model.name, adapter=model.adapter)


def examples(inputs: Sequence[TensorSpec], *, rows: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Return seeded rows for the inputs: normal numbers, or 0 and 1 for integers."""
    torch = torch_library()
    chance = torch.Generator().manual_seed(seed)
    count = max([rows if (spec.shape and spec.shape[0] <= 0) else spec.shape[0] for spec in inputs if spec.shape] + [1])
    made = []
    for spec in inputs:
        shape = (count, *spec.shape[1:])
        dtype = getattr(
            torch, next(name for name, one in ELEMENTS.items() if one is spec.element).removeprefix("torch.")
        )
        plain = torch.randn(shape, generator=chance) if spec.element.is_float else None
        drawn = torch.randint(0, 2, shape, generator=chance) if plain is None else plain
        made.append(drawn.to(dtype))
    return tuple(made)


def first_output(answer: Any) -> list[torch.Tensor]:
    """Return the tensors of an answer, in torch.export's own order."""
    torch = torch_library()
    leaves: list[Tensor] = torch.utils._pytree.tree_leaves(answer)  # noqa: SLF001 torch.export's own order
    return leaves


def recurrent_layers(net: GraphModule) -> tuple[str, ...]:
    """Return the recurrent layers, each by its kind and the name of its first weight."""
    found = []
    for node in net.graph.nodes:
        if operator(node) in _RECURRENT:
            weights = [str(one.target) for one in node.all_input_nodes if one.op == "get_attr"]
            place = weights[0].rpartition(".")[0] if weights else node.name
            found.append(f"{operator(node).upper()} {place or node.name!r}")
    return tuple(found)


def _let_reshapes_follow(net: GraphModule) -> None:
    """Write reshapes that flatten all but the batch without the number of what they flatten."""
    flatten = torch_library().ops.aten.flatten.using_ints
    for node in net.graph.nodes:
        if operator(node) not in ("view", "reshape"):
            continue
        source = arguments(node)["input"]
        before, after = source.meta["val"].shape, node.meta["val"].shape
        if len(after) == 2 and len(before) > 2 and before[0] == after[0]:
            node.target, node.args, node.kwargs = flatten, (source, 1), {}


def _forget_where(program: Any) -> None:
    """Drop what the exporter notes of files and lines on this machine."""
    for module in (program.graph_module, *program.graph_module.modules()):
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom"):
                node.meta.pop(key, None)
