"""DepthToSpace of mode CRD becomes DCR, TFLite's own, where a convolution before it can give its channels so."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.rewrites.editing import Editing

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation

_ALONE: Final = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSwish", "HardSigmoid", "Elu"})
"""Operators between the two that treat all channels alike."""


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
