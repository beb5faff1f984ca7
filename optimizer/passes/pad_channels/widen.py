"""The zeros written: constants widened, depthwise convolutions counted anew, flattening said without numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.passes.layers import given
from optimizer.passes.static.segment import captured_names
from optimizer.passes.static.tensors import array, initializers, put

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from optimizer.passes.pad_channels.follow import Edit, Followed
    from optimizer.passes.pad_channels.groups import Layout


def widen(graph: Any, followed: Followed, sizes: Mapping[int, int]) -> None:
    """Write the graph with the groups' new numbers of channels.

    Args:
        graph: the ``onnx.GraphProto`` that was followed; changed.
        followed: what is known of its channels.
        sizes: the new number of channels by the group's identity; groups not named stay.
    """
    read = Counter(name for node in graph.node for name in node.input)
    read.update(captured_names(graph))
    for edit in followed.edits:
        if _grows(followed, edit.layout, sizes):
            _write(graph, edit, _widened(graph, followed, edit, sizes), own=read[edit.node.input[edit.place]] < 2)
    for node, layout in followed.counted:
        if _grows(followed, layout, sizes):
            groups = next(item for item in node.attribute if item.name == "group")
            groups.i = sum(_size(followed, part, sizes) * part.each for part in layout)
    for node in followed.flattened:
        if _grows(followed, followed.layouts[node.input[0]], sizes):
            _say_flatten(node)


def _grows(followed: Followed, layout: Layout, sizes: Mapping[int, int]) -> bool:
    return any(followed.groups.identity(part) in sizes for part in layout)


def _size(followed: Followed, part: Any, sizes: Mapping[int, int]) -> int:
    return sizes.get(followed.groups.identity(part), followed.groups.size(part))


def _widened(graph: Any, followed: Followed, edit: Edit, sizes: Mapping[int, int]) -> NDArray[Any]:
    """Return the constant with the new places behind those of each part."""
    values = array(initializers(graph)[edit.node.input[edit.place]])
    ends = np.cumsum([followed.groups.size(part) * part.each for part in edit.layout])
    pieces: list[NDArray[Any]] = []
    for part, piece in zip(edit.layout, np.split(values, ends[:-1], axis=edit.axis), strict=True):
        more = (_size(followed, part, sizes) - followed.groups.size(part)) * part.each
        shape = (*values.shape[: edit.axis], more, *values.shape[edit.axis + 1 :])
        pieces += [piece, np.full(shape, edit.fill, values.dtype)]
    return np.concatenate(pieces, axis=edit.axis)


def _write(graph: Any, edit: Edit, values: NDArray[Any], *, own: bool) -> None:
    """Put the values where the operation reads them, under a name of its own where others read the old ones."""
    name = edit.node.input[edit.place]
    edit.node.input[edit.place] = name if own else f"{name}/{given(edit.node)}"
    put(graph, edit.node.input[edit.place], values)
    for listed in (item for item in graph.input if item.name == edit.node.input[edit.place]):
        for size, length in zip(listed.type.tensor_type.shape.dim, values.shape, strict=True):
            size.dim_value = length


def _say_flatten(node: Any) -> None:
    """Make a Reshape to (batch, all the rest) the Flatten that it is."""
    node.op_type = "Flatten"
    del node.input[1:]
    for item in list(node.attribute):
        node.attribute.remove(item)
