"""ONNX to ONNX that computes the same, with outliers moved from activations into weights before int8."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass, Wants

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.passes.transformer.dense import Dense
    from optimizer.passes.transformer.graph import Graph

_FLOOR: Final = 1e-5
"""Share of a tensor's largest value under which a channel's peak counts as this share: no factor without bound."""


@dataclass(frozen=True, kw_only=True)
class SmoothTransformer(Pass):
    """Divide each channel that a dense layer reads by a factor, and multiply the layer's weights by it.

    The factor is ``peak ** strength / weight ** (1 - strength)``, so wide channels get narrow and int8 loses less.
    It goes into what gives the channels (layer normalization, bias and dense layer, also through attention and
    rectifiers) where only those layers read them, else into one multiplication before the layer.
    """

    name: ClassVar[str] = "smooth-transformer"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx",)

    strength: float = field(default=0.65, metadata={"doc": "share of a range moved from activation to weights, 0 to 1"})
    rows: int = field(default=128, metadata={"doc": "calibration rows whose peaks are taken, at least 1"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to fields out of range, to quantized models and to models without dense layers."""
        del target
        if not 0 < self.strength <= 1:
            yield f"strength={self.strength} is not above 0 and at most 1"
        if self.rows < 1:
            yield f"rows={self.rows}: calibration needs at least 1 row"
        if spec.quantized:
            yield f"{spec.name} is quantized already; smooth the float model"
        if spec.operators and not spec.operators & {"Gemm", "MatMul"}:
            yield f"{spec.name} has no dense layer to smooth; leave {self.name} out"

    def observes(self, spec: ModelSpec) -> Wants:
        """Ask for statistics over ``rows`` rows."""
        del spec
        return Wants(statistics_rows=max(self.rows, 1))

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the smoothed model.

        Raises:
            PassFailed: there are no statistics, or no dense layer whose input they know.
        """
        from optimizer.passes.transformer.dense import dense_layers
        from optimizer.passes.transformer.graph import closed, open_graph

        if seen.statistics is None:
            raise PassFailed(f"{self.name}: there are no statistics of {model.name}; give calibration rows")
        graph = open_graph(model)
        sources = dict.fromkeys(layer.source for layer in dense_layers(graph))
        known = [
            (source, tensor.channel_peak)
            for source in sources
            if (tensor := seen.statistics.tensors.get(source)) is not None
        ]
        smoothed = [self._smooth(graph, source, peak) for source, peak in known]
        if not any(smoothed):
            raise PassFailed(
                f"{self.name}: no dense layer of {model.name} reads a tensor with outliers by channel; "
                "run simplify-onnx first, or leave this pass out"
            )
        return closed(graph, model)

    def _smooth(self, graph: Graph, source: str, peak: NDArray[np.float32]) -> bool:
        """Scale the channels of the tensor for the dense layers that read it; return whether they can be."""
        from optimizer.passes.transformer.absorb import absorb
        from optimizer.passes.transformer.dense import dense_layers, put_weights

        layers = [layer for layer in dense_layers(graph) if layer.source == source]
        if peak.shape != (layers[0].weights.shape[0],):
            return False
        factor = _factor(layers, peak, self.strength)
        if factor is None:
            return False
        inverse = (1 / factor).astype(np.float32)
        if not absorb(graph, source, inverse, readers=len(layers)):
            divisor = graph.add_constant(f"{source}/inverse", inverse)
            smooth = graph.add("Mul", [source, divisor], graph.fresh(f"{source}/smooth"))
            for layer in layers:
                layer.operation.input[0] = smooth
        for layer in layers:
            put_weights(graph, layer, layer.weights * factor[:, None])
        return True


def _factor(layers: list[Dense], peak: NDArray[np.float32], strength: float) -> NDArray[np.float32] | None:
    """Return what to divide each channel by, geometric mean 1; None where activation or weights are all zero."""
    weight = np.max([np.abs(layer.weights).max(axis=1) for layer in layers], axis=0).astype(np.float64)
    wide = peak.astype(np.float64)
    if not wide.max() > 0 or not weight.max() > 0:
        return None
    wide, weight = np.maximum(wide, _FLOOR * wide.max()), np.maximum(weight, _FLOOR * weight.max())
    logarithm = strength * np.log(wide) - (1 - strength) * np.log(weight)
    factor: NDArray[np.float32] = np.exp(logarithm - logarithm.mean()).astype(np.float32)
    return factor
