"""ONNX to the same ONNX in fewer bytes: what a file says beside the arithmetic, left out or said once.

In a network for a small device, names, defaults and zeros written out weigh as much as a layer. Nothing that is
computed changes, nor what tensors and labels (``metadata_props``) tell the one who uses the model.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from optimizer.errors import PassFailed
from optimizer.model import Format, Model
from optimizer.pass_ import Observations, Pass


@dataclass(frozen=True, kw_only=True)
class CompactOnnx(Pass):
    """Shorten the file, not the network: names, notes, defaults and repeated constants go, every answer stays."""

    name: ClassVar[str] = "compact-onnx"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    equivalent: ClassVar[bool] = True

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the shorter model.

        Raises:
            PassFailed: nothing in it can be written shorter.
        """
        del seen
        from optimizer.formats.onnx_format import parse

        before = _running(model.content, model.name)
        for shapes in (False, True):
            proto = parse(model.content, model.name)
            compact(proto, shapes=shapes)
            content: bytes = proto.SerializeToString(deterministic=True)
            if len(content) < len(model.content) and _running(content, model.name) == before:
                return Model.from_bytes(Format.ONNX, content, name=model.name, adapter=model.adapter)
        raise PassFailed(f"compact-onnx: nothing in {model.name} can be written shorter; leave this pass out")


def compact(proto: Any, *, shapes: bool = False) -> None:
    """Write an ``onnx.ModelProto`` in fewer bytes; it computes what it did, bit for bit.

    Args:
        proto: is changed.
        shapes: keeps the shapes of tensors in between, which ONNX Runtime mostly finds by itself.
    """
    from optimizer.passes.compact_onnx import attributes, constants, names, notes, zero_points

    notes.drop(proto)
    if not shapes:
        notes.drop_shapes(proto.graph)
    constants.fix_overridable(proto)
    names.shorten(proto.graph)
    constants.gather(proto.graph)
    zero_points.drop(proto.graph)
    constants.share(proto.graph)
    constants.write_short(proto.graph)
    attributes.drop_defaults(proto)
    names.shorten(proto.graph)


def _running(content: bytes, name: str) -> Counter[tuple[str, str]]:
    """Return how many operations of each operator ONNX Runtime runs once it has fused what it can."""
    import onnx

    from optimizer.formats.onnx_graphs import operations
    from optimizer.passes.save_optimized import saved_by_runtime

    fused = onnx.load_model_from_string(saved_by_runtime(content, name, "compact-onnx", level="extended"))
    return Counter((entry.domain, entry.op_type) for entry in operations(fused))
