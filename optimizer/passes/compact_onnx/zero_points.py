"""Zero points that are zero, where an operator need not be told, or told once for all channels.

ONNX Runtime fuses a quantized layer only where the zero points of what it reads are given, so those of activations and
weights stay in a QDQ file. Those of biases, and of what is fused already, it does not need.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from optimizer.formats.onnx_graphs import graphs
from optimizer.passes.compact_onnx.constants import values

KNOWN: Final = frozenset({"", "com.microsoft"})
"""Domains whose operators are those that are meant here."""
_OPTIONAL: Final = {
    "ConvInteger": (2, 3),
    "DynamicQuantizeMatMul": (3,),
    "MatMulInteger": (2, 3),
    "MatMulIntegerToFloat": (4, 5),
}
"""Inputs that are zero where they are left out."""
_ONE_FOR_ALL: Final = {"QLinearConv": 5}
"""The input whose one number may stand for all channels, though the scales are many."""


def drop(graph: Any) -> None:
    """Remove zero points of zero from the operations of a graph that do without; the constants themselves stay."""
    for each in graphs(graph):
        constants = {tensor.name: tensor for tensor in each.initializer}
        for entry in (entry for entry in each.node if entry.domain in KNOWN):
            for place in _OPTIONAL.get(entry.op_type, ()):
                if _is_zero(entry, place, constants):
                    entry.input[place] = ""
            if entry.op_type == "DequantizeLinear" and _is_zero(entry, 2, constants, kind="int32"):
                entry.input[2] = ""
            while entry.input and not entry.input[-1]:
                del entry.input[-1]
            place = _ONE_FOR_ALL.get(entry.op_type, 0)
            if place and _is_zero(entry, place, constants):
                entry.input[place] = _zero(each, constants, constants[entry.input[place]])


def _is_zero(entry: Any, place: int, constants: dict[str, Any], *, kind: str = "") -> bool:
    tensor = constants.get(entry.input[place]) if place < len(entry.input) else None
    held = None if tensor is None else values(tensor)
    return held is not None and not held.any() and kind in ("", held.dtype.name)


def _zero(graph: Any, constants: dict[str, Any], like: Any) -> str:
    """Return the name of the graph's one zero of that element type, which is made if it is new."""
    from onnx import helper, numpy_helper

    name = f"zero {like.data_type}"
    if name not in constants:
        kind = helper.tensor_dtype_to_np_dtype(like.data_type)
        graph.initializer.append(numpy_helper.from_array(np.zeros((), kind), name))
        constants[name] = graph.initializer[-1]
    return name
