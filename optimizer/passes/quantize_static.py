"""ONNX to int8 ONNX: weights and activations of a segment, with scales from calibration statistics (QDQ form)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from device_profiles.profile import DeviceProfile
from optimizer.calibration.ranges import CalibrationMethod, Range, range_of
from optimizer.errors import PassFailed, first_line
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass, Wants
from optimizer.passes.layers import HEAVY, RECURRENT, given

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from optimizer.calibration.statistics import Statistics

_OLDEST_OPSET: Final = 13
"""The first whose QuantizeLinear knows an axis."""
_NEW_OPSET: Final = 17
_ROUNDING_ROWS: Final = 64
"""Rows that adaptive rounding looks at: more change few roundings."""


class Activation(StrEnum):
    """Integer type of activations."""

    QUINT8 = "QUInt8"
    """Fast on x86 and Arm: the default."""
    QINT8 = "QInt8"
    """For integer-only targets; on x86 it runs 1.6 to 2.3 times slower than float."""


class Weight(StrEnum):
    """Integer type of weights."""

    QINT8 = "QInt8"
    QUINT8 = "QUInt8"


class Rounding(StrEnum):
    """How weights go to the points of their grid."""

    NEAREST = "nearest"
    """Each to the nearest point."""
    ADAPTIVE = "adaptive"
    """Each up or down, so that the layer's output changes least on calibration rows."""


@dataclass(frozen=True, kw_only=True)
class QuantizeStatic(Pass):
    """Quantize weights and activations of a contiguous segment to 8 bits with fixed scales; the rest stays float."""

    name: ClassVar[str] = "quantize-static"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    quantizes: ClassVar[bool] = True

    activation: Activation = field(default=Activation.QUINT8, metadata={"doc": "integer type of activations"})
    weight: Weight = field(default=Weight.QINT8, metadata={"doc": "integer type of weights"})
    method: CalibrationMethod = field(default=CalibrationMethod.MINMAX, metadata={"doc": "how ranges are chosen"})
    percentile: float = field(default=99.99, metadata={"doc": "percent of values that method percentile keeps"})
    per_channel: bool = field(default=True, metadata={"doc": "one weight scale for each output channel"})
    rows: int = field(default=128, metadata={"doc": "calibration rows, at least 1"})
    first: str = field(
        default="", metadata={"doc": "tensor that the segment's first operation gives; empty: the start"}
    )
    last: str = field(default="", metadata={"doc": "tensor that the segment's last operation gives; empty: the end"})
    keep: tuple[str, ...] = field(default=(), metadata={"doc": "tensors whose operations stay float"})
    bias_correction: bool = field(default=False, metadata={"doc": "take the mean error of rounding out of the biases"})
    rounding: Rounding = field(default=Rounding.NEAREST, metadata={"doc": "how weights go to their grid"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to models that are quantized already or have nothing to quantize, and to fields out of range."""
        del target
        if self.rows < 1:
            yield f"rows={self.rows}: calibration needs at least 1 row"
        if not 50 < self.percentile <= 100:
            yield f"percentile={self.percentile} is not above 50 and at most 100"
        if spec.quantized:
            yield f"{spec.name} is quantized already; quantize the float model"
        yield from nothing_to_quantize(spec, HEAVY)

    def observes(self, spec: ModelSpec) -> Wants:
        """Ask for statistics over ``rows`` rows, and for some rows themselves where rounding is adaptive."""
        rows = max(self.rows, 1)
        return Wants(
            rows=max(min(rows, _ROUNDING_ROWS), spec.fixed_batch) if self.rounding is Rounding.ADAPTIVE else 0,
            statistics_rows=rows,
        )

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the quantized model.

        Raises:
            PassFailed: the segment is none or holds no layer, weights or statistics are not finite, ONNX Runtime's
                quantizer fails, or no layer was quantized.
        """
        from optimizer.passes.static.correction import correct_biases
        from optimizer.passes.static.preparation import own_weights, prepare
        from optimizer.passes.static.quantizer import quantize_graph
        from optimizer.passes.static.rounding import round_weights
        from optimizer.passes.static.segment import integer_operations
        from optimizer.passes.static.weights import grids

        if seen.statistics is None:
            raise PassFailed(f"{self.name}: there are no statistics of {model.name}; give calibration rows")
        proto = float_proto(model)
        prepare(proto.graph)
        inside = integer_operations(proto.graph, first=self.first, last=self.last, keep=self.keep)
        own_weights(proto.graph, inside)
        ranges = self._ranges(proto.graph, inside, seen.statistics)
        layers = grids(proto.graph, inside, unsigned=self.weight is Weight.QUINT8, per_channel=self.per_channel)
        if self.rounding is Rounding.ADAPTIVE:
            round_weights(proto, layers, seen.rows, batch=model.fixed_batch)
        if self.bias_correction:
            correct_biases(proto.graph, layers, seen.statistics)
        kinds = {"activation": self.activation.value, "weight": self.weight.value}
        quantized = quantize_graph(proto, inside, ranges, per_channel=self.per_channel, **kinds)
        return finished(quantized, model, self.name)

    def _ranges(self, graph: Any, inside: AbstractSet[str], statistics: Statistics) -> dict[str, Range]:
        """Return the range of each float tensor that the operations inside read or give.

        Raises:
            PassFailed: values that are not finite were seen.
        """
        from optimizer.passes.static.preparation import POOLED

        touched = {name for node in graph.node if given(node) in inside for name in (*node.input, *node.output) if name}
        found = {}
        for name in sorted(touched):
            tensor = statistics.tensors.get(name.removesuffix(POOLED))
            if tensor is None:
                continue
            if not abs(tensor.low) < float("inf") or not abs(tensor.high) < float("inf"):
                raise PassFailed(
                    f"{self.name}: tensor {name!r} reached {tensor.low:g} to {tensor.high:g} on the calibration rows; "
                    "find the row, or the layer, that gives values that are not finite"
                )
            found[name] = range_of(tensor, self.method, percentile=self.percentile)
        return found


def nothing_to_quantize(spec: ModelSpec, heavy: frozenset[str]) -> Iterator[str]:
    """Yield the objection to a model whose operators are known and hold none of the heavy ones."""
    if spec.operators and not spec.operators & heavy:
        recurrent = ", ".join(sorted(spec.operators & RECURRENT))
        why = f"{recurrent} stays float in ONNX Runtime" if recurrent else f"it has none of {', '.join(sorted(heavy))}"
        yield f"{spec.name} has nothing to quantize: {why}"


def float_proto(model: Model) -> Any:
    """Return the model as the quantizer wants it: inner shapes inferred, operator set new enough for scales by channel.

    Raises:
        PassFailed: an old model that cannot be brought to a newer operator set.
    """
    import onnx
    import onnx.version_converter

    from optimizer.formats.onnx_format import parse

    proto = parse(model.content, model.name)
    own = max(item.version for item in proto.opset_import if item.domain in ("", "ai.onnx"))
    if own < _OLDEST_OPSET:
        try:
            proto = onnx.version_converter.convert_version(proto, _NEW_OPSET)
        except (RuntimeError, ValueError, onnx.version_converter.ConvertError) as error:
            raise PassFailed(
                f"{model.name} uses operator set {own}, and cannot be brought to {_NEW_OPSET}; "
                "export it again with a newer one"
            ) from error
    return onnx.shape_inference.infer_shapes(proto)


def quantized_by(work: Any, model: Model, name: str) -> Model:
    """Return the model that ``work`` writes to the path it is given.

    Raises:
        PassFailed: the quantizer fails, or no layer was quantized.
    """
    from optimizer.formats.onnx_format import parse

    with tempfile.TemporaryDirectory(prefix="edgeship-") as folder:
        output = Path(folder) / "quantized.onnx"
        try:
            work(output)
        except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AssertionError, AttributeError) as error:
            raise PassFailed(
                f"{name}: ONNX Runtime cannot quantize {model.name} ({first_line(error)}); leave this pass out"
            ) from error
        proto = parse(output.read_bytes(), model.name)
    return finished(proto, model, name)


def finished(proto: Any, model: Model, name: str) -> Model:
    """Return the model of a quantized graph, without what quantizers note in it.

    Raises:
        PassFailed: no layer was quantized.
    """
    from optimizer.passes.export_onnx import strip

    if not quantized_layers(proto):
        raise PassFailed(f"{name}: no layer of {model.name} was quantized; run simplify-onnx first, or leave this out")
    strip(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return Model.from_bytes(Format.ONNX, content, name=model.name, adapter=model.adapter)


def quantized_layers(proto: Any) -> int:
    """Return how many layers compute on integers: integer operators, and heavy ones between QDQ pairs."""
    from_integers = {name for node in proto.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    integer = {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "QLinearConv", "QGemm"}
    return sum(
        node.op_type in integer
        or (node.op_type in HEAVY and len(node.input) > 1 and {*node.input[:2]} <= from_integers)
        for node in proto.graph.node
    )
