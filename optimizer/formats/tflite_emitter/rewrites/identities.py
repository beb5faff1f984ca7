"""Identity and Dropout (inference) vanish."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph


def drop_identities(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph without them; whoever read their result reads their input."""
    stands_for: dict[str, str] = {}
    kept = []
    for operation in graph.operations:
        inputs = tuple(stands_for.get(name, name) for name in operation.inputs)
        if operation.op in ("Identity", "Dropout"):
            stands_for[operation.output] = inputs[0]
        else:
            kept.append(dataclasses.replace(operation, inputs=inputs))
    outputs = tuple((public, stands_for.get(value, value)) for public, value in graph.outputs)
    return dataclasses.replace(graph, operations=tuple(kept), outputs=outputs)
