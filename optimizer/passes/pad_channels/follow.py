"""Channels followed through a graph once, from the convolutions that give them to all that read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optimizer.passes.pad_channels.groups import Groups, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A constant that grows with the channels of a layout.

    Attributes:
        node: the ``onnx.NodeProto`` that reads it.
        place: as which of its inputs.
        axis: the axis that is laid out so.
        fill: what the new places hold.
    """

    node: Any
    place: int
    axis: int
    layout: Layout
    fill: float = 0.0


@dataclass(slots=True, kw_only=True)
class Followed:
    """What is known of the channels of a graph, up to the operation that is looked at.

    Attributes:
        constants: the graph's initializers by name.
        shapes: the shape of each other tensor, None for a size that is not known.
        layouts: what the second axis of each tensor holds, as far as it is known.
        edits: constants that grow with their layouts.
        counted: depthwise convolutions, whose number of groups is that of the channels, and their layout.
        flattened: operations that flatten an image in words that name its channels.
    """

    constants: Mapping[str, Any]
    shapes: Mapping[str, tuple[int | None, ...]]
    groups: Groups = field(default_factory=Groups)
    layouts: dict[str, Layout] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    counted: list[tuple[Any, Layout]] = field(default_factory=list)
    flattened: list[Any] = field(default_factory=list)

    def places(self, name: str) -> int | None:
        """Return how many places each channel of an image has; None where its shape is not known."""
        total = 1
        for size in self.shapes.get(name, (None, None, None))[2:]:
            if size is None:
                return None
            total *= size
        return total

    def rank(self, name: str) -> int:
        """Return how many axes a tensor has; 0 where that is not known."""
        shape = tuple(self.constants[name].dims) if name in self.constants else self.shapes.get(name, ())
        return len(shape)

    def fix(self, names: Iterable[str]) -> None:
        """Let the channels of the tensors stay as they are."""
        for name in names:
            self.groups.fix(self.layouts.get(name, ()))

    def give_fixed(self, name: str) -> None:
        """Note a tensor whose channels nothing may change."""
        shape = self.shapes.get(name, ())
        if len(shape) > 1 and shape[1] is not None:
            self.layouts[name] = (self.groups.new(shape[1], fixed=True),)


def follow(graph: Any) -> Followed:
    """Return what the channels of the graph are, which must be padded together, and which must stay.

    Args:
        graph: an ``onnx.GraphProto`` with the shapes of its inner tensors, as far as they are known.
    """
    from optimizer.passes.pad_channels.operators import CARRIERS
    from optimizer.passes.static.segment import captured_names
    from optimizer.passes.static.tensors import initializers

    constants = initializers(graph)
    followed = Followed(constants=constants, shapes=_shapes(graph))
    for given in graph.input:
        if given.name not in constants:
            followed.give_fixed(given.name)
    for node in graph.node:
        carries = CARRIERS.get(node.op_type) if node.domain in ("", "ai.onnx") and len(node.output) == 1 else None
        if carries is None or not carries(followed, node):
            followed.fix(node.input)
            for name in node.output:
                followed.give_fixed(name)
    followed.fix(output.name for output in graph.output)
    followed.fix(captured_names(graph))
    return followed


def _shapes(graph: Any) -> dict[str, tuple[int | None, ...]]:
    return {
        item.name: tuple(
            size.dim_value if size.HasField("dim_value") else None for size in item.type.tensor_type.shape.dim
        )
        for item in (*graph.input, *graph.value_info, *graph.output)
    }
