"""Group normalization spelt as InstanceNormalization of reshaped groups becomes GroupNormalization."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.graph import Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_PER_CHANNEL_OPSET = 21


def find_group_norms(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such groups as one operation; factors by channel stay products and sums after it."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op == "InstanceNormalization":
            _found(editing, operation)
    return editing.finish()


def _found(editing: Editing, operation: Operation) -> None:
    before, after = editing.producer_of(operation.input(0), "Reshape"), editing.sole_reader(operation.output)
    factor, offset = (editing.constant(operation.input(place)) for place in (1, 2))
    if before is None or after is None or after.op != "Reshape" or factor is None or offset is None:
        return
    whole, groups, result = (editing.fact(name) for name in (before.input(0), before.output, after.output))
    if whole is None or groups is None or result is None or len(groups.shape) != 3 or len(whole.shape) < 3:
        return
    plain = bool((factor == 1).all()) and not offset.any()
    if whole != result or whole.shape[0] != groups.shape[0] or whole.shape[1] % groups.shape[1] or not plain:
        return
    length = groups.shape[1] if editing.opset < _PER_CHANNEL_OPSET else whole.shape[1]
    names = (
        editing.put_constant(f"{after.output}/factor", np.ones(length, dtype=np.float32)),
        editing.put_constant(f"{after.output}/offset", np.zeros(length, dtype=np.float32)),
    )
    done = Operation(
        op="GroupNormalization",
        name=operation.name,
        inputs=(before.input(0), *names),
        outputs=after.outputs,
        attributes={"num_groups": groups.shape[1], "epsilon": operation.number("epsilon", 1e-5)},
    )
    editing.replace([after], [done])
