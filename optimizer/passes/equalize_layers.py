"""ONNX to ONNX that answers the same, with the channels between two layers brought to one scale (Nagel 2019).

A Relu passes a positive factor through, so a channel that the first layer makes s times smaller and the second
takes s times larger changes nothing; but its values then use the whole of their 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.passes.static.affine import Affine

_THROUGH: Final = frozenset({"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity"})
"""Operators f with f(s x) = s f(x) for s > 0, channel by channel; a Clip at 6 is not one."""
_STRONGEST: Final = 1e4
_SAME: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class EqualizeLayers(Pass):
    """Equalize the ranges of channels between pairs of layers with a Relu or nothing in between."""

    name: ClassVar[str] = "equalize-layers"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx",)
    tools: ClassVar[tuple[str, ...]] = ("onnx",)
    equivalent: ClassVar[bool] = True

    rounds: int = field(default=20, metadata={"doc": "how often to go over all pairs at most, at least 1"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to a model that is quantized already, and to no round at all."""
        del target
        if self.rounds < 1:
            yield f"rounds={self.rounds}: equalizing takes at least 1"
        if spec.quantized:
            yield f"{spec.name} is quantized already; equalize the float model"

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the equalized model.

        Raises:
            PassFailed: there is no pair of layers, or all are equal already.
        """
        del seen
        from optimizer.formats.onnx_format import parse
        from optimizer.passes.static.affine import affine, drop_unread

        proto = parse(model.content, model.name)
        graph = proto.graph
        chains = list(_pairs(graph))
        layers = {node.output[0]: affine(graph, node) for chain in chains for node in chain}
        pairs = [
            (before, behind)
            for before, behind in ((layers[one.output[0]], layers[two.output[0]]) for one, two in chains)
            if before is not None and behind is not None
        ]
        if not _equalize(pairs, self.rounds):
            raise PassFailed(
                f"equalize-layers: {model.name} has no two layers with a Relu or nothing in between whose channels "
                "differ in range; leave this pass out"
            )
        for layer in {id(layer): layer for pair in pairs for layer in pair}.values():
            layer.put_back(graph)
        drop_unread(graph)
        content: bytes = proto.SerializeToString(deterministic=True)
        return Model.from_bytes(Format.ONNX, content, name=model.name, adapter=model.adapter)


def _pairs(graph: Any) -> Iterator[tuple[Any, Any]]:
    """Yield two layers, the second of which alone reads what the first gives, through operators that keep factors."""
    from optimizer.passes.static.segment import captured_names
    from optimizer.passes.static.tensors import attribute, readers

    read, captured = readers(graph), captured_names(graph)
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            continue
        name = node.output[0]
        while name not in captured and len(read.get(name, [])) == 1 and read[name][0] is not None:
            behind = read[name][0]
            if behind.op_type in ("Conv", "ConvTranspose", "Gemm"):
                if behind.input[0] == name and not attribute(behind, "transA", 0):
                    yield node, behind
                break
            if behind.op_type not in _THROUGH or len(behind.output) != 1:
                break
            name = behind.output[0]


def _equalize(pairs: list[tuple[Affine, Affine]], rounds: int) -> bool:
    """Scale the layers of each pair until none moves; return whether any did."""
    moved = False
    for _ in range(rounds):
        furthest = 0.0
        for before, behind in pairs:
            factor = _factor(before, behind)
            before.scale_outputs(factor)
            behind.scale_inputs(1 / factor)
            furthest = max(furthest, float(np.abs(factor - 1).max()))
        if furthest < _SAME:
            break
        moved = True
    return moved


def _factor(before: Affine, behind: Affine) -> NDArray[np.float64]:
    """Return what each channel in between is to be multiplied with so that both layers' weights have one range."""
    given = np.abs(before.by_output).max(axis=(2, 3)).reshape(-1)
    taken = np.abs(behind.by_output).max(axis=(1, 3)).reshape(-1)
    dead = (given <= 0) | (taken <= 0)
    factor = np.sqrt(np.where(dead, 1.0, taken) / np.where(dead, 1.0, given))
    return np.where(dead, 1.0, np.clip(factor, 1 / _STRONGEST, _STRONGEST))
