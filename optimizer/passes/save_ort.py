"""ONNX to the ORT format: ONNX Runtime's own file of the optimized graph, which it only has to read.

It buys loading time of small models, not latency: a model of many small operations loads in a third of the time, one
of few large weights in longer (they are copied once more). Where the processor has layouts of its own (convolutions on
x86), ``level=extended`` runs slower than the plain file: an ORT-format file is not laid out when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass
from optimizer.passes.save_optimized import Level, optimized_onnx, saved_by_runtime, wrong_architecture


@dataclass(frozen=True, kw_only=True)
class SaveOrt(Pass):
    """Save the graph as ONNX Runtime optimizes it, in its own format; no other pass can follow."""

    name: ClassVar[str] = "save-ort"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ORT
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("flatbuffers", "onnx", "onnxruntime")

    level: Level = field(
        default=Level.EXTENDED, metadata={"doc": "extended for any processor, all for this one's kind"}
    )

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to a layout for another processor than the target's."""
        del spec
        yield from wrong_architecture(self.name, self.level, target)

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the saved model.

        Raises:
            PassFailed: ONNX Runtime refuses the model, or writes what this version cannot read.
        """
        del seen
        from optimizer.formats.ort_flatbuffer import read_tables, write_tables

        optimized = optimized_onnx(model, self.level, self.name)
        saved = saved_by_runtime(optimized, model.name, self.name, level="disabled", kind="ORT")
        try:
            content = write_tables(read_tables(saved))
        except ValueError as error:
            raise PassFailed(
                f"save-ort: this onnxruntime writes {model.name} in a way that is not known here ({error}); "
                "use save-optimized"
            ) from error
        return Model.from_bytes(Format.ORT, content, name=model.name, adapter=model.adapter)
