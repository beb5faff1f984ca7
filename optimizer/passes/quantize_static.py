"""ONNX to int8 ONNX: weights and activations, with scales from calibration rows (QDQ form)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass, Wants

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAVY: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_RECURRENT: Final = frozenset({"GRU", "LSTM", "RNN"})
_BATCH_ROWS: Final = 32
_OLDEST_OPSET: Final = 13
"""The first whose QuantizeLinear knows an axis."""
_NEW_OPSET: Final = 17


class Activation(StrEnum):
    """Integer type of activations."""

    QUINT8 = "QUInt8"
    """Fast on x86 and Arm: the default."""
    QINT8 = "QInt8"
    """For integer-only targets; on x86 it runs 1.6 to 2.3 times slower than float."""


class CalibrationMethod(StrEnum):
    """How the range of an activation is read from the calibration rows."""

    MINMAX = "minmax"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


@dataclass(frozen=True, kw_only=True)
class QuantizeStatic(Pass):
    """Quantize weights (int8) and activations to 8 bits with fixed scales."""

    name: ClassVar[str] = "quantize-static"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    quantizes: ClassVar[bool] = True

    activation: Activation = field(default=Activation.QUINT8, metadata={"doc": "integer type of activations"})
    method: CalibrationMethod = field(default=CalibrationMethod.MINMAX, metadata={"doc": "how ranges are chosen"})
    per_channel: bool = field(default=True, metadata={"doc": "one weight scale for each output channel"})
    rows: int = field(default=128, metadata={"doc": "calibration rows, at least 1"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to models that are quantized already or have nothing to quantize."""
        del target
        if self.rows < 1:
            yield f"rows={self.rows}: calibration needs at least 1 row"
        if spec.quantized:
            yield f"{spec.name} is quantized already; quantize the float model"
        yield from nothing_to_quantize(spec, HEAVY)

    def observes(self, spec: ModelSpec) -> Wants:
        """Ask for ``rows`` rows."""
        del spec
        return Wants(rows=max(self.rows, 1))

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the quantized model.

        Raises:
            PassFailed: ONNX Runtime's quantizer fails, or no layer was quantized.
        """
        from onnxruntime.quantization import CalibrationMethod as OrtMethod
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        proto = float_proto(model)
        methods = {
            CalibrationMethod.MINMAX: OrtMethod.MinMax,
            CalibrationMethod.ENTROPY: OrtMethod.Entropy,
            CalibrationMethod.PERCENTILE: OrtMethod.Percentile,
        }

        def work(output: Path) -> None:
            quantize_static(
                proto,
                output,
                _reader(model, seen),
                quant_format=QuantFormat.QDQ,
                per_channel=self.per_channel,
                activation_type=QuantType[self.activation.value],
                weight_type=QuantType.QInt8,
                calibrate_method=methods[self.method],
            )

        return quantized_by(work, model, self.name)


def nothing_to_quantize(spec: ModelSpec, heavy: frozenset[str]) -> Iterator[str]:
    """Yield the objection to a model whose operators are known and hold none of the heavy ones."""
    if spec.operators and not spec.operators & heavy:
        recurrent = ", ".join(sorted(spec.operators & _RECURRENT))
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
    from optimizer.passes.export_onnx import strip

    with tempfile.TemporaryDirectory(prefix="edgeship-") as folder:
        output = Path(folder) / "quantized.onnx"
        try:
            work(output)
        except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AssertionError, AttributeError) as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise PassFailed(f"{name}: ONNX Runtime cannot quantize {model.name} ({line})") from error
        proto = parse(output.read_bytes(), model.name)
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


def _reader(model: Model, seen: Observations) -> Any:
    """Return ONNX Runtime's view of the rows: batches of the model's own size, the last one cut off if short."""
    from onnxruntime.quantization import CalibrationDataReader

    fixed = max((spec.shape[0] for spec in model.inputs if spec.shape), default=-1)
    size = _BATCH_ROWS if fixed == -1 else fixed
    last = seen.count if fixed == -1 else seen.count - seen.count % size
    batches: Iterator[dict[str, NDArray[np.generic]]] = iter(
        [{name: values[start : start + size] for name, values in seen.rows.items()} for start in range(0, last, size)]
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
        """The rows, one batch after the other."""

        def get_next(self) -> dict[str, NDArray[np.generic]] | None:
            """Return the next batch, None after the last."""
            return next(batches, None)

    return Reader()
