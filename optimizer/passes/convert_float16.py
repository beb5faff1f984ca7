"""ONNX to ONNX in half precision: half the size, and faster where the device computes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass


@dataclass(frozen=True, kw_only=True)
class ConvertFloat16(Pass):
    """Convert weights and arithmetic to half precision; inputs and outputs stay as they are.

    Where the device does not compute half precision, ONNX Runtime puts conversions around each operator and folds
    most away when it loads the file: it runs about as fast as the float model (ResNet20 and MiniLM on x86: within
    2 %), and is a candidate for its size alone. So there is no objection: measuring decides.
    """

    name: ClassVar[str] = "convert-float16"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to quantized models, whose scales half precision would round, and to targets of integers alone."""
        if spec.quantized:
            yield f"{spec.name} is quantized already; convert the float model"
        if target.full_int8:
            yield f"{target.name} runs int8 alone; quantize instead"

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the model in half precision.

        Raises:
            PassFailed: ONNX Runtime's converter fails, or the model holds no float weights.
        """
        del seen
        from onnxruntime.transformers.float16 import convert_float_to_float16

        from optimizer.formats.onnx_format import parse
        from optimizer.passes.transformer.graph import Graph, closed

        proto = parse(model.content, model.name)
        before = _half_constants(proto)
        try:
            half = convert_float_to_float16(proto, keep_io_types=True)
        except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise PassFailed(f"{self.name}: ONNX Runtime cannot convert {model.name} ({line})") from error
        if _half_constants(half) <= before:
            raise PassFailed(f"{self.name}: {model.name} has no float32 weights to convert; leave this pass out")
        return closed(Graph(half), model)


def _half_constants(proto: object) -> int:
    """Return how many initializers are in half precision."""
    from onnx import TensorProto

    graph = proto.graph  # type: ignore[attr-defined]  # onnx ships no types for its protos
    return sum(item.data_type == TensorProto.FLOAT16 for item in graph.initializer)
