"""ONNX to ONNX with 8- or 4-bit weights and float activations: a smaller file, and less memory to read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass
from optimizer.passes.quantize_static import nothing_to_quantize

if TYPE_CHECKING:
    from optimizer.passes.transformer.graph import Graph

_STORED: Final[dict[str, tuple[tuple[int, tuple[int, ...]], ...]]] = {
    "Conv": ((1, (0,)),),
    "ConvTranspose": ((1, (1,)),),
    "GRU": ((1, (0, 1)), (2, (0, 1))),
    "LSTM": ((1, (0, 1)), (2, (0, 1))),
    "RNN": ((1, (0, 1)), (2, (0, 1))),
}
"""Places of the weights, and the axes on which each place has its own scale."""
_BITS: Final = (8, 4)
_BLOCKS: Final = (16, 32, 64, 128, 256)


@dataclass(frozen=True, kw_only=True)
class QuantizeWeights(Pass):
    """Hold the weights in 8 or 4 bits: dense layers by blocks, embedding tables by rows, others as 8-bit constants.

    A dense layer runs on them as they are. Convolutions and recurrent layers have no such kernel: ONNX Runtime
    makes floats of their weights when it loads the file, so it is smaller and as fast as float.
    """

    name: ClassVar[str] = "quantize-weights"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx",)
    quantizes: ClassVar[bool] = True

    bits: int = field(default=8, metadata={"doc": "bits of a dense layer's weight: 8 or 4"})
    block: int = field(default=32, metadata={"doc": "inputs that share a scale: 16, 32, 64, 128 or 256"})
    integer_products: bool = field(
        default=True, metadata={"doc": "round activations to 8 bits in the same blocks: 2 to 3 times faster at 8 bits"}
    )

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to fields out of range, and to models that are quantized already or have nothing to quantize."""
        del target
        if self.bits not in _BITS:
            yield f"bits={self.bits} is neither 8 nor 4"
        if self.block not in _BLOCKS:
            yield f"block={self.block} is none of {', '.join(map(str, _BLOCKS))}"
        if spec.quantized:
            yield f"{spec.name} is quantized already; quantize the float model"
        if not spec.operators & _STORED.keys():
            yield from nothing_to_quantize(spec, frozenset({"Gather", "Gemm", "MatMul"}))

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the model with smaller weights.

        Raises:
            PassFailed: no layer has constant float weights.
        """
        del seen
        from optimizer.passes.transformer.dense import dense_layers
        from optimizer.passes.transformer.graph import closed, open_graph
        from optimizer.passes.transformer.integers import table_to_integers, tables, to_blocks

        graph = open_graph(model)
        layers, lookups = list(dense_layers(graph)), tables(graph)
        for layer in layers:
            to_blocks(graph, layer, bits=self.bits, block=self.block, integer_products=self.integer_products)
        for lookup in lookups:
            table_to_integers(graph, lookup)
        stored = [_store(graph, each) for each in graph.operations if each.op_type in _STORED]
        if not layers and not lookups and not any(stored):
            raise PassFailed(
                f"{self.name}: no layer of {model.name} was quantized: none has constant float weights; "
                "run simplify-onnx first, or leave this out"
            )
        return closed(graph, model)


def _store(graph: Graph, operation: Any) -> bool:
    """Hold the operation's weights as 8-bit constants; return whether it has constant float weights."""
    from optimizer.passes.transformer.integers import store_as_int8

    done = False
    for place, kept_axes in _STORED[operation.op_type]:
        values = graph.constant(operation.input[place])
        if values is not None and values.dtype == np.float32:
            store_as_int8(graph, operation, place, kept_axes=kept_axes)
            done = True
    return done
