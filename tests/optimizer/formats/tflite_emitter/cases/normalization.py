"""Uses of normalizations by the value's own statistics: over any last axes, groups, images or one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import (
    Shape,
    Side,
    Use,
    away_from_zero,
    cases,
    lopsided,
    normal,
    shapes,
    sides,
)


def _row(shape: Shape) -> Side:
    return Side(shape=shape, values=lopsided, constant=True, rows=False)


def _rows(draw: st.DrawFn, shape: Shape, *, least: int) -> list[Side]:
    """Draw up to two constants of that shape, a factor and an offset."""
    return [_row(shape) for _ in range(draw(st.integers(least, 2)))]


@st.composite
def over_last_axes(draw: st.DrawFn, op: str, opsets: Sequence[int]) -> Use:
    """Draw LayerNormalization or RMSNormalization from an axis on, counted from either end."""
    free = draw(st.booleans())
    side = draw(sides(draw(shapes(least=2)), normal, free=free))
    shape = side.shape
    axis = draw(st.integers(1, len(shape) - 1))
    given = {"axis": axis - len(shape) if draw(st.booleans()) else axis, "epsilon": draw(st.sampled_from((1e-5, 1e-2)))}
    most = 2 if op == "LayerNormalization" else 1
    rows = _rows(draw, shape[axis:], least=1)[:most]
    return Use(op=op, sides=(side, *rows), opset=draw(st.sampled_from(opsets)), attributes=given, free=free)


@st.composite
def instances(draw: st.DrawFn) -> Use:
    """Draw InstanceNormalization of a line, an image or a volume with more than one pixel."""
    free = draw(st.booleans())
    channels = draw(st.integers(1, 4))
    space = draw(st.lists(st.integers(2, 4), min_size=1, max_size=2))
    side = draw(sides((1, channels, *space), normal, free=free))
    rows = [_row((channels,)), _row((channels,))]
    return Use(op="InstanceNormalization", sides=(side, *rows), opset=draw(st.sampled_from((11, 18, 20))), free=free)


@st.composite
def groups(draw: st.DrawFn) -> Case:
    """Draw GroupNormalization after a Tanh: onnx infers no shape for it, so the graph says it."""
    from onnx import TensorProto, helper, numpy_helper

    free, count, members = draw(st.booleans()), draw(st.integers(1, 3)), draw(st.integers(2, 3))
    shape = (1, count * members, *draw(st.lists(st.integers(2, 4), min_size=1, max_size=2)))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    sizes = ["batch" if free and not axis else size for axis, size in enumerate(shape)]
    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in ("x", "y"))
    constants = [numpy_helper.from_array(lopsided(random, shape[1:2]), name) for name in ("factor", "offset")]
    nodes = [
        helper.make_node("Tanh", ["x"], ["bounded"]),
        helper.make_node("GroupNormalization", ["bounded", "factor", "offset"], ["y"], num_groups=count),
    ]
    body = helper.make_graph(nodes, "use", [given], [result], constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Case(content=model.SerializeToString(), inputs=tuple({"x": normal(random, shape)} for _ in range(3)))


@st.composite
def lengths(draw: st.DrawFn) -> Use:
    """Draw LpNormalization over one axis."""
    free = draw(st.booleans())
    side = draw(sides(draw(shapes(least=2)), away_from_zero, free=free))
    rank = len(side.shape)
    given = {"axis": draw(st.integers(-rank, rank - 1)), "p": draw(st.integers(1, 2))}
    return Use(op="LpNormalization", sides=(side,), opset=draw(st.sampled_from((11, 18))), attributes=given, free=free)


@st.composite
def means_and_variances(draw: st.DrawFn) -> Use:
    """Draw MeanVarianceNormalization over some axes of an image, the batch among them where it is fixed."""
    free = draw(st.booleans())
    shape = (1, draw(st.integers(2, 3)), *draw(st.tuples(st.integers(2, 4), st.integers(2, 4))))
    side = draw(sides(shape, normal, free=free))
    axes = draw(st.sampled_from(((1,), (2, 3), (1, 2, 3), (-1, -2))))
    opset = draw(st.sampled_from((11, 13, 18)))
    return Use(
        op="MeanVarianceNormalization", sides=(side,), opset=opset, attributes={"axes": np.asarray(axes)}, free=free
    )


_USES: Mapping[str, st.SearchStrategy[Use]] = {
    "InstanceNormalization": instances(),
    "LayerNormalization": over_last_axes("LayerNormalization", (17, 20)),
    "LpNormalization": lengths(),
    "MeanVarianceNormalization": means_and_variances(),
    "RMSNormalization": over_last_axes("RMSNormalization", (23,)),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()} | {
    "GroupNormalization": groups()
}
