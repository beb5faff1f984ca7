"""ONNX to ONNX with int8 weights whose activations are quantized as they come: for dense and recurrent nets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from device_profiles.profile import DeviceProfile
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass
from optimizer.passes.quantize_static import float_proto, nothing_to_quantize, quantized_by

_DENSE: Final = frozenset({"Gemm", "MatMul", "LSTM"})


@dataclass(frozen=True, kw_only=True)
class QuantizeDynamic(Pass):
    """Quantize the weights of dense and LSTM layers to int8; needs no calibration."""

    name: ClassVar[str] = "quantize-dynamic"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    quantizes: ClassVar[bool] = True

    per_channel: bool = field(default=True, metadata={"doc": "one weight scale for each output channel"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to convolutions, and to models that are quantized already or have nothing to quantize."""
        del target
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
            PassFailed: ONNX Runtime's quantizer fails, or no layer was quantized.
        """
        del seen
        from onnxruntime.quantization import QuantType, quantize_dynamic

        proto = float_proto(model)

        def work(output: Path) -> None:
            # convolutions stay float whatever comes: a torch program's are not known at plan time
            quantize_dynamic(
                proto,
                output,
                op_types_to_quantize=["MatMul", "LSTM"],
                per_channel=self.per_channel,
                weight_type=QuantType.QInt8,
            )

        return quantized_by(work, model, self.name)
