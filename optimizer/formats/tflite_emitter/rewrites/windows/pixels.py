"""Channels made into pixels: found where they are spelled out, and laid out as TFLite does by the convolution beside.

A Reshape, Transpose and Reshape may be a DepthToSpace, or a SpaceToDepth whose channels the convolution after it can
take in another order. DepthToSpace of mode CRD becomes DCR, TFLite's own, where the convolution before can give it so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Operation, Shape
from optimizer.formats.tflite_emitter.rewrites.editing import Editing

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_ALONE: Final = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSwish", "HardSigmoid", "Elu"})
"""Operators between the two that treat all channels alike."""


_SHUFFLES: Final[Mapping[Shape, str]] = {(0, 1, 4, 2, 5, 3): "CRD", (0, 3, 4, 1, 5, 2): "DCR"}
_UNSHUFFLE: Final = (0, 1, 3, 5, 2, 4)


def find_pixels(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such movements of axes as one operation."""
    editing = Editing(graph)
    for operation in graph.operations:
        split = editing.producer_of(operation.input(0), "Reshape") if operation.op == "Transpose" else None
        merge = editing.sole_reader(operation.output) if split is not None else None
        if split is None or merge is None or merge.op != "Reshape" or not editing.is_inner(split.output):
            continue
        perm, facts = operation.integers("perm", ()), [editing.fact(name) for name in (split.input(0), split.output)]
        before, inner, after = (None if fact is None else fact.shape for fact in (*facts, editing.fact(merge.output)))
        if before is None or inner is None or after is None or len(before) != 4 or len(inner) != 6:
            continue
        mode, block = _SHUFFLES.get(perm, ""), inner[2]
        if mode and block > 1 and _is_shuffle(before, inner, after, mode=mode, block=block):
            made = {"blocksize": block, "mode": mode}
            new = Operation(
                op="DepthToSpace", name=merge.name, inputs=split.inputs[:1], outputs=merge.outputs, attributes=made
            )
            editing.replace((split, operation, merge), (new,))
        elif perm == _UNSHUFFLE and _is_unshuffle(before, inner, after, block=inner[3]):
            _put_unshuffle(editing, (split, operation, merge), block=inner[3])
    return editing.finish()


def _is_shuffle(before: Shape, inner: Shape, after: Shape, *, mode: str, block: int) -> bool:
    kept, height, width = before[1] // (block * block), before[2], before[3]
    parts = (kept, block, block) if mode == "CRD" else (block, block, kept)
    split, merged = (before[0], *parts, height, width), (before[0], kept, height * block, width * block)
    return (inner, after) == (split, merged)


def _is_unshuffle(before: Shape, inner: Shape, after: Shape, *, block: int) -> bool:
    height, width = before[2] // block, before[3] // block
    split = (before[0], before[1], height, block, width, block)
    return (inner, after) == (split, (before[0], before[1] * block * block, height, width))


def _put_unshuffle(editing: Editing, old: tuple[Operation, ...], *, block: int) -> None:
    """Put a SpaceToDepth there where a convolution alone reads it and can take its channels, (place, channel)."""
    split, _, merge = old
    reader = editing.sole_reader(merge.output)
    kernel = None if reader is None or reader.op != "Conv" else editing.constant(reader.input(1))
    if reader is None or kernel is None or reader.integer("group", 1) != 1 or reader.input(0) != merge.output:
        return
    order = np.arange(kernel.shape[1]).reshape(-1, block * block).T.reshape(-1)
    name = editing.put_constant(f"{reader.output}/kernel in order", kernel[:, order])
    changed = dataclasses.replace(reader, inputs=(merge.output, name, *reader.inputs[2:]))
    attributes = {"blocksize": block}
    new = Operation(
        op="SpaceToDepth", name=merge.name, inputs=split.inputs[:1], outputs=merge.outputs, attributes=attributes
    )
    editing.replace((*old, reader), (new, changed))


def order_pixels(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with the kernels of such convolutions reordered."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op != "DepthToSpace" or operation.text("mode", "DCR") != "CRD":
            continue
        before = _convolution(operation, editing)
        kernel = None if before is None else editing.constant(before.input(1))
        bias = None if before is None or not before.input(2) else editing.constant(before.input(2))
        if before is None or kernel is None or (before.input(2) and bias is None):
            continue
        block = operation.integer("blocksize", 1)
        order = np.arange(len(kernel)).reshape(-1, block * block).T.reshape(-1)
        names = [editing.put_constant(f"{before.output}/kernel in order", kernel[order])]
        names += [] if bias is None else [editing.put_constant(f"{before.output}/bias in order", bias[order])]
        changed = dataclasses.replace(before, inputs=(before.input(0), *names))
        turned = dataclasses.replace(operation, attributes={**operation.attributes, "mode": "DCR"})
        editing.replace((before, operation), (changed, turned))
    return editing.finish()


def _convolution(operation: Operation, editing: Editing) -> Operation | None:
    """Return the convolution of one group whose result becomes the pixels, and nothing else; None for any other."""
    name = operation.input(0)
    while editing.is_inner(name):
        made = editing.producer(name)
        if made is not None and made.op == "Conv" and made.integer("group", 1) == 1:
            return made
        if made is None or made.op not in _ALONE:
            return None
        name = made.input(0)
    return None
