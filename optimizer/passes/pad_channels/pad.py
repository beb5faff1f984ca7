"""ONNX to ONNX that answers the same, with channels added that hold nothing: kernels work in blocks of channels.

ONNX Runtime's float convolutions on x86 keep images in blocks of 16 channels where AVX-512 is, else of 8. A depthwise
convolution or a pool of other numbers leaves that layout and comes back to it, or never has it, and that can cost
more than the zeros do. Plain convolutions of few channels only get more work: whether padding pays is to be measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass

if TYPE_CHECKING:
    from optimizer.passes.pad_channels.follow import Followed


@dataclass(frozen=True, kw_only=True)
class PadChannels(Pass):
    """Pad the channels between convolutions with zeros, where all that give and read them allow it."""

    name: ClassVar[str] = "pad-channels"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx",)
    tools: ClassVar[tuple[str, ...]] = ("onnx",)
    equivalent: ClassVar[bool] = True

    multiple: int = field(default=16, metadata={"doc": "what the channels become a multiple of, at least 2"})
    most_ratio: float = field(
        default=3.0,
        metadata={"doc": "how many times its channels a group may get: its layers' weights and work grow by as much"},
    )

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to a model that has no convolution or is quantized already, and to parameters that pad nothing."""
        del target
        if self.multiple < 2:
            yield f"multiple={self.multiple}: every number is a multiple of it; give at least 2"
        if not self.most_ratio > 1:
            yield f"most_ratio={self.most_ratio}: padding needs more than 1 times the channels"
        if spec.quantized:
            yield f"{spec.name} is quantized already; pad the float model"
        if spec.operators and "Conv" not in spec.operators and "ConvTranspose" not in spec.operators:
            yield f"{spec.name} has no convolution: nothing to pad; leave pad-channels out"

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the padded model.

        Raises:
            PassFailed: there is nothing to pad.
        """
        del seen
        import onnx

        from optimizer.formats.onnx_format import parse
        from optimizer.passes.pad_channels.follow import follow
        from optimizer.passes.pad_channels.widen import widen
        from optimizer.passes.static.affine import drop_unread
        from optimizer.passes.static.preparation import constants_as_initializers

        proto = parse(model.content, model.name)
        constants_as_initializers(proto.graph)
        proto = onnx.shape_inference.infer_shapes(proto)
        graph = proto.graph
        followed = follow(graph)
        sizes = self._sizes(followed)
        if not sizes:
            raise PassFailed(
                f"pad-channels: nothing to pad: {model.name} has no channels between convolutions that "
                f"{self.most_ratio:g} times as many could make a multiple of {self.multiple}; leave this pass out"
            )
        widen(graph, followed, sizes)
        drop_unread(graph)
        del graph.value_info[:]
        content: bytes = proto.SerializeToString(deterministic=True)
        return Model.from_bytes(Format.ONNX, content, name=model.name, adapter=model.adapter)

    def _sizes(self, followed: Followed) -> dict[int, int]:
        """Return the new number of channels of each group that is to be padded, by its identity."""
        groups = followed.groups
        found: dict[int, int] = {}
        for part in (part for layout in followed.layouts.values() for part in layout):
            size = groups.size(part)
            wanted = -(-size // self.multiple) * self.multiple
            if not groups.is_fixed(part) and size < wanted <= self.most_ratio * size:
                found[groups.identity(part)] = wanted
        return found
