"""ONNX to ONNX with int8 weights whose activations are quantized as they come: for dense and recurrent nets."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass
from optimizer.passes.layers import given
from optimizer.passes.quantize_static import float_proto, nothing_to_quantize, quantized_by

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.passes.transformer.dense import Dense
    from optimizer.passes.transformer.graph import Graph

_DENSE: Final = frozenset({"Gemm", "LSTM", "MatMul"})
BLOCKS: Final = (16, 32, 64, 128, 256)
"""Sizes of blocks that ONNX Runtime's kernel knows."""
EVERY: Final = "*"
"""Stands for every layer in a field that names layers."""


@dataclass(frozen=True, kw_only=True)
class QuantizeDynamic(Pass):
    """Quantize the weights of dense and LSTM layers, and embedding tables, to int8; needs no calibration.

    Layers are named by the tensor that they give; ``*`` names all. A layer in several fields counts for the first
    of ``keep``, ``per_block`` and ``per_token``. The finer the scales, the closer to float and the slower.
    """

    name: ClassVar[str] = "quantize-dynamic"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    quantizes: ClassVar[bool] = True

    per_channel: bool = field(default=True, metadata={"doc": "one weight scale for each output channel"})
    keep: tuple[str, ...] = field(default=(), metadata={"doc": "layers that stay float"})
    per_token: tuple[str, ...] = field(
        default=(), metadata={"doc": "layers whose activations have a scale for each token; * for all"}
    )
    per_block: tuple[str, ...] = field(
        default=(), metadata={"doc": "layers with scales for each block of inputs of each token; * for all"}
    )
    block: int = field(default=128, metadata={"doc": "inputs in a block: 16, 32, 64, 128 or 256"})
    embeddings: bool = field(default=True, metadata={"doc": "int8 embedding tables, one scale for each row"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to convolutions, and to models that are quantized already or have nothing to quantize."""
        del target
        if self.block not in BLOCKS:
            yield f"block={self.block} is none of {', '.join(map(str, BLOCKS))}"
        if EVERY in self.keep:
            yield "keep=* leaves nothing to quantize; leave this pass out"
        if spec.quantized:
            yield f"{spec.name} is quantized already; quantize the float model"
        if "Conv" in spec.operators:
            yield (
                f"{spec.name} has convolutions, which run 3 to 100 times slower than float with dynamic int8; "
                "use quantize-static"
            )
        else:
            yield from nothing_to_quantize(spec, _DENSE)

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the quantized model.

        Raises:
            PassFailed: a field names no layer, ONNX Runtime's quantizer fails, or no layer was quantized.
        """
        del seen
        from optimizer.passes.transformer.dense import dense_layers
        from optimizer.passes.transformer.graph import Graph, closed
        from optimizer.passes.transformer.integers import table_to_integers, tables

        graph = Graph(float_proto(model))
        lstm = [given(each) for each in graph.operations if each.op_type == "LSTM"]
        layers = list(dense_layers(graph))
        check_names((*self.keep, *self.per_token, *self.per_block), [*lstm, *(layer.name for layer in layers)], model)
        chosen = [layer for layer in layers if layer.name not in self.keep]
        recurrent = [name for name in lstm if name not in self.keep]
        if not chosen and not recurrent:
            raise PassFailed(
                f"{self.name}: no layer of {model.name} was quantized; run simplify-onnx first, or leave this out"
            )
        for layer in chosen:
            self._quantize(graph, layer)
        if self.embeddings:
            for lookup in tables(graph):
                table_to_integers(graph, lookup)
        if not recurrent:
            return closed(graph, model)
        proto = graph.finish()
        return quantized_by(lambda output: _quantize_lstm(proto, output, recurrent), model, self.name)

    def _quantize(self, graph: Graph, layer: Dense) -> None:
        from optimizer.passes.transformer.integers import to_blocks, to_integers

        if names(self.per_block, layer):
            to_blocks(graph, layer, bits=8, block=self.block, integer_products=True)
            return
        to_integers(graph, layer, per_channel=self.per_channel, per_token=names(self.per_token, layer))


def names(chosen: tuple[str, ...], layer: Dense) -> bool:
    """Return whether a field that names layers names this one."""
    return EVERY in chosen or layer.name in chosen


def check_names(chosen: tuple[str, ...], known: list[str], model: Model) -> None:
    """Return if each chosen name is that of a layer.

    Raises:
        PassFailed: naming the first that is not, and the nearest one.
    """
    for name in chosen:
        if name != EVERY and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise PassFailed(f"quantize-dynamic: no dense or LSTM layer of {model.name} gives {name!r}{hint}")


def _quantize_lstm(proto: Any, output: Path, chosen: list[str]) -> None:
    """Write the model with the chosen LSTMs as ``DynamicQuantizeLSTM``."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        proto,
        output,
        op_types_to_quantize=["LSTM"],
        nodes_to_quantize=chosen,  # its own word for operations
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
