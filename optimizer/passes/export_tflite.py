"""ONNX to TFLite, float: our own emitter, its result run beside the original before it is believed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar, Final

from contracts.preprocessing import Step, StepKind
from contracts.tensors import ElementType
from device_profiles.profile import DeviceProfile
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass

_FORMS: Final = ("sequence", "unrolled")
"""The values of the emitter's ``RecurrentForm``, which takes too long to import."""


@dataclass(frozen=True, kw_only=True)
class ExportTflite(Pass):
    """Write the model as a float TFLite file of any batch; images and lines become channel-last."""

    name: ClassVar[str] = "export-tflite"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.TFLITE
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "ai_edge_litert", "flatbuffers")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "ai-edge-litert", "flatbuffers")
    equivalent: ClassVar[bool] = True
    changes_tensors: ClassVar[bool] = True

    recurrent: str = field(
        default=_FORMS[0], metadata={"doc": "recurrent layers in one operator (sequence) or step by step (unrolled)"}
    )
    check_rows: int = field(default=4, metadata={"doc": "random rows on which the file must equal the ONNX model"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to operators that can't be written and to a model that is quantized already."""
        del target
        if self.recurrent not in _FORMS:
            yield f"recurrent={self.recurrent!r} is neither of {', '.join(_FORMS)}"
        from optimizer.formats.tflite_emitter.table import SUPPORTED, VANISHING, nearest

        if spec.quantized:
            yield "the model is quantized already; export the float model, then quantize-tflite"
        unknown = sorted(spec.operators - {*SUPPORTED, *VANISHING})
        if unknown and not spec.quantized:
            near = [f"{op} ({nearest(op)})" if nearest(op) else op for op in unknown]
            yield (
                f"operators {', '.join(near)} can't be written (nearest that can); stay with ONNX, or rebuild the "
                f"model from the {len(SUPPORTED)} of: edgeship recipe passes export-tflite"
            )
        for tensor in spec.inputs:
            if tensor.element is ElementType.FP16:
                yield f"input {tensor.name!r} is {tensor.element}; convert it before the model"

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the TFLite file.

        Raises:
            UnsupportedOperator: an operator, or a use of it, that is not written.
            PassFailed: the file differs from the original.
        """
        from optimizer.formats.tflite_emitter import check_equal, emit, open_original
        from optimizer.formats.tflite_emitter.forms import RecurrentForm

        with ThreadPoolExecutor(max_workers=1) as beside:
            opening = beside.submit(open_original, model.content)
            try:
                emitted = emit(model.content, recurrent=RecurrentForm(self.recurrent), is_accepted=True)
            finally:
                original = opening.result()  # where ONNX Runtime refuses the graph, that is the reason
        check_equal(original, emitted, rows=self.check_rows)
        if emitted.fixed_batch:
            seen.desk.progress(f"{self.name}: the file takes one row at a time: {emitted.fixed_batch}", 1.0)
        turned = tuple(
            Step(kind=StepKind.CHANNEL_LAST, tensor=spec.name)
            for spec in model.inputs
            if spec.name in emitted.channel_last
        )
        return Model.from_bytes(Format.TFLITE, emitted.content, name=model.name, adapter=(*model.adapter, *turned))
