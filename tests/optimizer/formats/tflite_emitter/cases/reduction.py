"""Uses of reductions, places of the largest, running sums, global pools and softmaxes: any axes, kept or not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import (
    Use,
    Values,
    cases,
    halves,
    integers,
    lopsided,
    normal,
    positive,
    shapes,
    sides,
)

_AXES_AS_INPUT = {"ReduceSum": 13}
_NUMBERS: tuple[Values, ...] = (lopsided, integers("int32"), integers("int64"))
_INTEGERS_TOO = ("ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum")
_REDUCTIONS = (
    *_INTEGERS_TOO,
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMean",
    "ReduceSumSquare",
)


@st.composite
def reductions(draw: st.DrawFn, op: str) -> Use:
    """Draw a reduction: over some axes counted from either end, or all; by attribute or by input."""
    values = draw(st.sampled_from(_NUMBERS)) if op in _INTEGERS_TOO else positive if op == "ReduceLogSum" else lopsided
    free, opset = draw(st.booleans()), draw(st.sampled_from((11, 13, 18, 20)))
    side = draw(sides(draw(shapes()), values, free=free))
    rank = len(side.shape)
    axes = draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
    axes = [axis - rank if draw(st.booleans()) else axis for axis in axes]
    given = {"keepdims": draw(st.integers(0, 1))}
    if draw(st.integers(0, 4)) == 0:
        return Use(op=op, sides=(side,), opset=opset, attributes=given, free=free)
    if opset >= _AXES_AS_INPUT.get(op, 18):
        return Use(op=op, sides=(side,), opset=opset, attributes=given, parameters=(np.asarray(axes),), free=free)
    return Use(op=op, sides=(side,), opset=opset, attributes=given | {"axes": axes}, free=free)


@st.composite
def places(draw: st.DrawFn, op: str) -> Use:
    """Draw ArgMax or ArgMin, with ties, the first or the last of them."""
    values = draw(st.sampled_from((halves, integers("int32"))))
    free, shape = draw(st.booleans()), draw(shapes())
    side = draw(sides(shape, values, free=free))
    rank = len(side.shape)
    axis, last = draw(st.integers(-rank, rank - 1)), draw(st.integers(0, 1))
    attributes = {"axis": axis, "keepdims": draw(st.integers(0, 1)), "select_last_index": last}
    refusable = bool(last and free and axis % rank == 0)
    opset = draw(st.sampled_from((12, 13, 20)))
    return Use(op=op, sides=(side,), opset=opset, attributes=attributes, free=free, refusable=refusable)


@st.composite
def running_sums(draw: st.DrawFn) -> Use:
    """Draw CumSum."""
    free, values = draw(st.booleans()), draw(st.sampled_from(_NUMBERS))
    side = draw(sides(draw(shapes()), values, free=free))
    rank = len(side.shape)
    axis = np.asarray(draw(st.integers(-rank, rank - 1)), dtype=draw(st.sampled_from(("int32", "int64"))))
    attributes = {name: draw(st.integers(0, 1)) for name in ("exclusive", "reverse")}
    opset = draw(st.sampled_from((11, 14, 20)))
    return Use(op="CumSum", sides=(side,), opset=opset, attributes=attributes, parameters=(axis,), free=free)


@st.composite
def pools(draw: st.DrawFn, op: str) -> Use:
    """Draw a pool over the whole of a line, an image or a volume."""
    free = draw(st.booleans())
    shape = draw(shapes(least=3))
    side = draw(sides(shape, normal, free=free))
    attributes = {"p": draw(st.integers(1, 3))} if op == "GlobalLpPool" else {}
    return Use(op=op, sides=(side,), opset=draw(st.sampled_from((11, 18, 20))), attributes=attributes, free=free)


@st.composite
def softmaxes(draw: st.DrawFn, op: str) -> Use:
    """Draw Softmax and the like: over one axis, or over all from one on in old opsets."""
    free = draw(st.booleans())
    side = draw(sides(draw(shapes()), halves if op == "Hardmax" else normal, free=free))
    rank = len(side.shape)
    axis, opset = draw(st.integers(-rank, rank - 1)), draw(st.sampled_from((11, 12, 13, 18, 20)))
    refusable = op == "Hardmax" and free and axis % rank == 0
    return Use(op=op, sides=(side,), opset=opset, attributes={"axis": axis}, free=free, refusable=refusable)


_USES: Mapping[str, st.SearchStrategy[Use]] = {
    **{op: reductions(op) for op in _REDUCTIONS},
    **{op: places(op) for op in ("ArgMax", "ArgMin")},
    **{op: pools(op) for op in ("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool")},
    **{op: softmaxes(op) for op in ("Hardmax", "LogSoftmax", "Softmax")},
    "CumSum": running_sums(),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
