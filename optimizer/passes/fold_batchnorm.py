"""ONNX to ONNX with each batch normalization folded into the layer before it, or behind it where that is exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NORM = "BatchNormalization"


@dataclass(frozen=True, kw_only=True)
class FoldBatchnorm(Pass):
    """Fold batch normalizations into the weights of the convolution or dense layer beside them."""

    name: ClassVar[str] = "fold-batchnorm"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx",)
    tools: ClassVar[tuple[str, ...]] = ("onnx",)
    equivalent: ClassVar[bool] = True

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to a model whose operators are known and hold no batch normalization."""
        del target
        if spec.operators and _NORM not in spec.operators:
            yield f"{spec.name} has no {_NORM}: nothing to fold; leave fold-batchnorm out"

    def result(self, spec: ModelSpec) -> ModelSpec:
        """Return the spec without batch normalization, which may all be gone."""
        return dataclasses.replace(spec, operators=spec.operators - {_NORM})

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the folded model.

        Raises:
            PassFailed: no batch normalization could be folded.
        """
        del seen
        from optimizer.formats.onnx_format import parse
        from optimizer.passes.static.affine import drop_unread

        proto = parse(model.content, model.name)
        graph = proto.graph
        norms = [node for node in graph.node if node.op_type == _NORM]
        folded = [node for node in norms if _fold(graph, node)]
        if not folded:
            raise PassFailed(
                f"fold-batchnorm: no batch normalization of {model.name} stands beside a layer that can take it; "
                "leave this pass out"
            )
        drop_unread(graph)
        content: bytes = proto.SerializeToString(deterministic=True)
        return Model.from_bytes(Format.ONNX, content, name=model.name, adapter=model.adapter)


def _fold(graph: Any, node: Any) -> bool:
    """Fold one normalization into the layer before it or the one behind it, and remove it; return whether it was."""
    from optimizer.passes.static.tensors import array, attribute, initializers

    constants = initializers(graph)
    if any(name not in constants for name in node.input[1:5]) or attribute(node, "training_mode", 0):
        return False
    scale, shift, mean, variance = (array(constants[name]).astype(np.float64) for name in node.input[1:5])
    factor = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    offset = shift - mean * factor
    if not (_into_before(graph, node, factor, offset) or _into_behind(graph, node, factor, offset)):
        return False
    graph.node.remove(node)
    return True


def _into_before(graph: Any, node: Any, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> bool:
    """Fold into the layer that gives the normalization's input, if nothing else reads that."""
    from optimizer.passes.static.affine import affine
    from optimizer.passes.static.segment import captured_names
    from optimizer.passes.static.tensors import readers

    name = node.input[0]
    before = next((other for other in graph.node if name in other.output), None)
    if before is None or readers(graph)[name] != [node] or name in captured_names(graph):
        return False
    layer = affine(graph, before)
    if layer is None:
        return False
    layer.scale_outputs(factor, offset)
    layer.put_back(graph)
    before.output[0] = node.output[0]
    return True


def _into_behind(graph: Any, node: Any, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> bool:
    """Fold into the layer that reads the result, if only it does and no padding (of zeros) mixes with an offset."""
    from optimizer.passes.static.affine import affine
    from optimizer.passes.static.segment import captured_names
    from optimizer.passes.static.tensors import attribute, readers

    name = node.output[0]
    followers = readers(graph).get(name, [])
    if len(followers) != 1 or followers[0] is None or name in captured_names(graph):
        return False
    behind = followers[0]
    padded = any(attribute(behind, "pads", [])) or attribute(behind, "auto_pad", b"").startswith(b"SAME")
    if behind.op_type not in ("Conv", "Gemm") or attribute(behind, "transA", 0) or (padded and offset.any()):
        return False
    layer = affine(graph, behind) if behind.input[0] == name else None
    if layer is None:
        return False
    layer.scale_inputs(factor, offset)
    layer.put_back(graph)
    behind.input[0] = node.input[0]
    return True
