"""Pad with zeros around an image goes into the padding of the convolution after it: SAME may then say it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.rewrites.editing import Editing

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation


def merge_paddings(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such paddings inside the convolutions that alone read them."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op != "Pad":
            continue
        reader, pads = editing.sole_reader(operation.output), _pads_of_image(operation, editing)
        if reader is None or pads is None or reader.op != "Conv" or reader.input(0) != operation.output:
            continue
        automatic, spatial = reader.text("auto_pad", "NOTSET"), len(pads) // 2
        if automatic not in ("NOTSET", "VALID"):
            continue
        own = reader.integers("pads", (0,) * 2 * spatial) if automatic == "NOTSET" else (0,) * 2 * spatial
        attributes = {name: value for name, value in reader.attributes.items() if name != "auto_pad"}
        attributes["pads"] = [before + more for before, more in zip(own, pads, strict=True)]
        inputs = (operation.input(0), *reader.inputs[1:])
        editing.replace((operation, reader), (dataclasses.replace(reader, inputs=inputs, attributes=attributes),))
    return editing.finish()


def _pads_of_image(operation: Operation, editing: Editing) -> tuple[int, ...] | None:
    """Return pads as a convolution takes them; None where the Pad does more than add zeros around an image."""
    fact = editing.fact(operation.input(0))
    if fact is None or operation.text("mode", "constant") != "constant" or operation.input(3):
        return None
    fill = editing.scalar(operation.input(2)) if operation.input(2) else operation.number("value", 0.0)
    given = editing.constant(operation.input(1)) if operation.input(1) else operation.attributes.get("pads")
    if fill != 0 or given is None:
        return None
    pairs = np.asarray(given, dtype=np.int64).reshape(2, len(fact.shape))
    if bool((pairs < 0).any()) or bool(pairs[:, :2].any()):
        return None
    return tuple(int(size) for size in pairs[:, 2:].reshape(-1))
