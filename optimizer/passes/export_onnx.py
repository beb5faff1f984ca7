"""PyTorch program to ONNX: one file, weights inside, the batch free where the program leaves it free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed, first_line
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass

_OLDEST, _NEWEST = 17, 21


@dataclass(frozen=True, kw_only=True)
class ExportOnnx(Pass):
    """Export a torch program to ONNX, keeping tensor names, without paths of the exporting machine."""

    name: ClassVar[str] = "export-onnx"
    accepts: ClassVar[Format] = Format.TORCH
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript")
    tools: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript")
    equivalent: ClassVar[bool] = True

    opset: int = field(default=18, metadata={"doc": f"ONNX operator set, {_OLDEST} to {_NEWEST}"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to an operator set that the exporter or the runtimes do not know."""
        del spec, target
        if not _OLDEST <= self.opset <= _NEWEST:
            yield f"opset={self.opset} is not between {_OLDEST} and {_NEWEST}"

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the ONNX model of the program.

        Raises:
            PassFailed: the exporter does not know an operator of the program.
        """
        del seen
        import torch

        from optimizer.formats.torch_format import open_program

        program, _ = open_program(model.content, model.name)
        try:
            exported = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=self.opset,
                external_data=False,
                verbose=False,
                input_names=[spec.name for spec in model.inputs],
                output_names=[spec.name for spec in model.outputs],
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise PassFailed(
                f"export-onnx: torch cannot export {model.name} ({first_line(error)}); rebuild the network from "
                "operators that ONNX has, or give an .onnx file"
            ) from error
        if exported is None:
            raise PassFailed(f"export-onnx: torch returned nothing for {model.name}; give an .onnx file")
        proto = exported.model_proto
        strip(proto)
        _name_batch(proto)
        content: bytes = proto.SerializeToString(deterministic=True)
        return Model.from_bytes(Format.ONNX, content, name=model.name, adapter=model.adapter)


def strip(proto: Any) -> None:
    """Remove what the exporter notes about its own machine: stack traces, paths, documentation."""
    del proto.metadata_props[:]
    proto.doc_string = ""
    graph = proto.graph
    owners = (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer)
    for owner in owners:
        del owner.metadata_props[:]
        owner.doc_string = ""


def _name_batch(proto: Any) -> None:
    """Call a free first size ``batch`` everywhere; torch names it after its own symbols."""
    first = {
        item.type.tensor_type.shape.dim[0].dim_param
        for item in proto.graph.input
        if item.type.tensor_type.shape.dim and item.type.tensor_type.shape.dim[0].HasField("dim_param")
    }
    for item in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in item.type.tensor_type.shape.dim:
            if dim.HasField("dim_param") and dim.dim_param in first:
                dim.dim_param = "batch"
