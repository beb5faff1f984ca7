"""Rounding while training: weights and activations pass through the grids that static quantization will use.

Slopes pass straight through (torch's own fake quantization). Batch norms are folded first, as the exporter folds
them, so that a grid belongs to the weights that are quantized in the end. Nothing of this stays in the network: what
stays are weights that lose little when they are rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.modules import operator
from optimizer.passes.prune_channels.network import finished

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

_MOMENTUM: Final = 0.05
_PREFIX: Final = "rounded_"


def fold_batch_norms(net: GraphModule) -> None:
    """Fold each batch norm that follows a convolution or dense layer into it."""
    torch = torch_library()
    from torch.nn.utils import fusion

    net.eval()
    for node in list(net.graph.nodes):
        if node.op != "call_module" or node.args[0].op != "call_module" or len(node.args[0].users) != 1:
            continue
        norm, layer = net.get_submodule(str(node.target)), net.get_submodule(str(node.args[0].target))
        if not isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 torch's only name for all
            continue
        if isinstance(layer, torch.nn.Linear):
            folded: Any = fusion.fuse_linear_bn_eval(layer, norm)
        elif isinstance(layer, torch.nn.modules.conv._ConvNd):  # noqa: SLF001 torch's only name for all
            folded = fusion.fuse_conv_bn_eval(layer, norm, transpose=layer.transposed)
        else:
            continue
        net.set_submodule(str(node.args[0].target), folded)
        node.replace_all_uses_with(node.args[0])
        net.graph.erase_node(node)
    finished(net)


def round_while_training(net: GraphModule) -> None:
    """Let layers read rounded activations through rounded weights, until ``stop_rounding``."""
    torch = torch_library()
    from torch.nn.utils import parametrize

    sources: dict[Any, None] = {}
    for node in list(net.graph.nodes):
        layer = net.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, torch.nn.Linear | torch.nn.modules.conv._ConvNd):  # noqa: SLF001 torch's only name for all
            sources[node.args[0]] = None
            if not parametrize.is_parametrized(layer):
                axis = 1 if getattr(layer, "transposed", False) else 0
                parametrize.register_parametrization(layer, "weight", _rounded_weight(axis))
        elif operator(node) in ("add", "add_"):
            sources.update(dict.fromkeys(one for one in node.all_input_nodes if one.op != "get_attr"))
    for place, source in enumerate(sources):
        net.add_submodule(f"{_PREFIX}{place}", _rounded_activation())
        with net.graph.inserting_after(source):
            rounded = net.graph.call_module(f"{_PREFIX}{place}", (source,))
        source.replace_all_uses_with(rounded, delete_user_cb=lambda user, own=rounded: user is not own)
    finished(net)


def stop_rounding(net: GraphModule) -> None:
    """Take all rounding out again; the weights stay as they were trained, on no grid yet."""
    torch = torch_library()
    from torch.nn.utils import parametrize

    for node in list(net.graph.nodes):
        if node.op == "call_module" and str(node.target).startswith(_PREFIX):
            node.replace_all_uses_with(node.args[0])
            net.graph.erase_node(node)
    for layer in list(net.modules()):
        if parametrize.is_parametrized(layer):
            held: Any = layer
            trained = held.parametrizations.weight.original.detach().clone()
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
            held.weight = torch.nn.Parameter(trained)
    finished(net)


def _rounded_weight(axis: int) -> torch.nn.Module:
    import torch

    class RoundedWeight(torch.nn.Module):
        """A weight on a symmetric grid of 8 bits for each output channel."""

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            """Return the rounded weight."""
            others = [place for place in range(weight.dim()) if place != axis]
            scale = (weight.detach().abs().amax(dim=others) / 127).clamp(min=1e-8)
            zero = torch.zeros(len(scale), dtype=torch.int32)
            rounded: torch.Tensor = torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, -127, 127)
            return rounded

    return RoundedWeight()


def _rounded_activation() -> torch.nn.Module:
    import torch

    class RoundedActivation(torch.nn.Module):
        """An activation on one grid of 8 bits over the range seen so far."""

        low: torch.Tensor
        high: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("low", torch.zeros(()))
            self.register_buffer("high", torch.zeros(()))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            """Return the rounded rows; while training, the range follows what it sees."""
            if not rows.is_floating_point():
                return rows
            if self.training:
                low, high = rows.detach().amin().clamp(max=0), rows.detach().amax().clamp(min=0)
                first = bool(self.low == self.high)
                share = 1.0 if first else _MOMENTUM
                self.low.lerp_(low, share)
                self.high.lerp_(high, share)
            scale = ((self.high - self.low) / 255).clamp(min=1e-8)
            zero = (-self.low / scale).round().clamp(0, 255).to(torch.int32)
            rounded: torch.Tensor = torch.fake_quantize_per_tensor_affine(rows, scale, zero, 0, 255)
            return rounded

    return RoundedActivation()
