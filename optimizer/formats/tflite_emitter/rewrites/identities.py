"""Identity and Dropout (inference) vanish; of reshapes one after another the last says it all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph, Operation

_RESHAPES: Final = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})


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


def join_reshapes(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with each reshape of a reshape starting from the first one's input: shapes are known anyway."""
    before: dict[str, Operation] = {}
    kept = []
    for operation in graph.operations:
        first = before.get(operation.input(0))
        if operation.op not in _RESHAPES:
            kept.append(operation)
            continue
        inputs = operation.inputs if first is None else (first.input(0), *operation.inputs[1:])
        before[operation.output] = dataclasses.replace(operation, inputs=inputs)
        kept.append(before[operation.output])
    read = {name for operation in kept for name in operation.inputs} | {value for _, value in graph.outputs}
    return graph.with_operations(one for one in kept if one.op not in _RESHAPES or one.output in read)
