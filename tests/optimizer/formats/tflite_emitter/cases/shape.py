"""Uses of what moves, splits, merges, repeats, joins or pads axes: from any order of axes, with any batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import (
    Shape,
    Side,
    Use,
    Values,
    booleans,
    cases,
    integers,
    normal,
    shapes,
    sides,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ANY: st.SearchStrategy[Values] = st.sampled_from(
    (normal, normal, normal, integers("int64"), integers("int32"), booleans)
)


def ids(*values: int) -> NDArray[np.int64]:
    """Return an int64 constant."""
    return np.asarray(values, dtype=np.int64)


@st.composite
def reshapes(draw: st.DrawFn) -> Use:
    """Draw Reshape between two ways of grouping the same factors, the batch apart or merged with what follows it."""
    factors: list[int] = draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))
    before, after = _grouped(draw, factors), _grouped(draw, factors)
    free = draw(st.booleans())
    side = draw(sides((1, *before), draw(_ANY), free=free))
    if side.flat:
        side = Side(shape=(1, *before), values=normal)
    merged = draw(st.booleans()) and len(after) > 1
    target = (-1, *after[1:]) if merged else (-1 if free else 1, *after)
    return Use(
        op="Reshape", sides=(side,), parameters=(ids(*target),), opset=draw(st.sampled_from((11, 18))), free=free
    )


@st.composite
def flattens(draw: st.DrawFn) -> Use:
    """Draw Flatten at any axis."""
    shape, free = draw(shapes()), draw(st.booleans())
    axis = draw(st.integers(-len(shape), len(shape)))
    return _of("Flatten", shape, draw=draw, free=free, opset=13, axis=axis)


@st.composite
def squeezes(draw: st.DrawFn, op: str) -> Use:
    """Draw Squeeze or Unsqueeze of some axes, from either end."""
    inner: list[int] = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    places = sorted(draw(st.sets(st.integers(1, len(inner) + 1), min_size=1, max_size=2)))
    whole = [1, *inner]
    for place in places:
        whole.insert(min(place, len(whole)), 1)
    free, opset = draw(st.booleans()), draw(st.sampled_from((11, 13)))
    at = [min(place, len(whole) - 1) for place in places]
    axes = [axis - len(whole) if draw(st.booleans()) else axis for axis in dict.fromkeys(at)]
    axes = [axis for axis in axes if whole[axis] == 1]
    shape = tuple(whole)
    if op == "Unsqueeze":
        cut = {axis % len(whole) for axis in axes}
        shape = tuple(size for axis, size in enumerate(whole) if axis not in cut)
    given: dict[str, Any] = {"axes": axes} if opset < 13 else {}
    side = Side(shape=shape, values=draw(_ANY), turned=_order(draw, shape, free=free))
    parameters = () if opset < 13 else (ids(*axes),)
    return Use(op=op, sides=(side,), parameters=parameters, attributes=given, opset=opset, free=free)


@st.composite
def transposes(draw: st.DrawFn) -> Use:
    """Draw Transpose by any permutation, the batch moved too, or by none."""
    shape, free = draw(shapes(most=6)), draw(st.booleans())
    given: dict[str, Any] = {"perm": draw(st.permutations(range(len(shape))))} if draw(st.booleans()) else {}
    return _of("Transpose", shape, draw=draw, free=free, opset=13, **given)


@st.composite
def concats(draw: st.DrawFn) -> Use:
    """Draw Concat of two to four values in orders of their own, flattened images and constants among them."""
    shape, free = draw(shapes(least=2)), draw(st.booleans())
    axis = draw(st.integers(1, len(shape) - 1))
    values = draw(_ANY)
    given = []
    for place in range(draw(st.integers(2, 4))):
        own = tuple(draw(st.integers(1, 4)) if at == axis else size for at, size in enumerate(shape))
        constant = place > 0 and not free and draw(st.booleans())
        side = Side(shape=own, values=values, constant=True) if constant else draw(sides(own, values, free=free))
        given.append(side)
    turned = axis - len(shape) if draw(st.booleans()) else axis
    return Use(op="Concat", sides=given, attributes={"axis": turned}, opset=13, free=free)


@st.composite
def expands(draw: st.DrawFn) -> Use:
    """Draw Expand of axes of size 1, and to more axes where the batch is fixed."""
    shape, free = draw(shapes(most=4)), draw(st.booleans())
    target = tuple(1 if not at else draw(st.integers(2, 3)) if size == 1 else size for at, size in enumerate(shape))
    added = () if free else tuple(draw(st.lists(st.integers(1, 3), max_size=1)))
    side = Side(shape=shape, values=draw(_ANY), turned=_order(draw, shape, free=free))
    return Use(op="Expand", sides=(side,), parameters=(ids(*added, *target),), opset=13, free=free)


@st.composite
def pads(draw: st.DrawFn) -> Use:
    """Draw Pad in each mode, of some axes, cutting too; the batch is left alone where it is free."""
    mode = draw(st.sampled_from(("constant", "constant", "reflect", "edge", "wrap")))
    shape = (1, *draw(st.lists(st.integers(2, 5), min_size=1, max_size=3)))
    free, rank = draw(st.booleans()), len(shape)
    opset = 19 if mode == "wrap" else draw(st.sampled_from((11, 13, 18)))
    chosen = sorted(draw(st.sets(st.integers(1, rank - 1), min_size=1))) if opset >= 18 else list(range(rank))
    least = -1 if mode == "constant" else 0
    pairs = [(0, 0) if not axis else (draw(st.integers(least, 1)), draw(st.integers(0, 1))) for axis in chosen]
    amounts = ids(*(pair[0] for pair in pairs), *(pair[1] for pair in pairs))
    values = (
        normal
        if mode != "constant" or opset < 13
        else draw(st.sampled_from((normal, integers("int32"), integers("int64"))))
    )
    turned = () if opset >= 18 else _order(draw, shape, free=free)  # ONNX Runtime 1.31 fails on Transpose and axes
    side = Side(shape=shape, values=values, turned=turned)
    fill = (
        values(np.random.default_rng(draw(st.integers(0, 9))), ())
        if mode == "constant" and draw(st.booleans())
        else None
    )
    axes = ids(*(axis - rank if draw(st.booleans()) else axis for axis in chosen)) if opset >= 18 else None
    parameters: Sequence[Any] = (amounts, fill, axes) if axes is not None else (amounts, fill)
    return Use(op="Pad", sides=(side,), parameters=parameters, attributes={"mode": mode}, opset=opset, free=free)


def _of(op: str, shape: Shape, *, draw: st.DrawFn, free: bool, opset: int, **attributes: Any) -> Use:
    side = Side(shape=shape, values=draw(_ANY), turned=_order(draw, shape, free=free))
    return Use(op=op, sides=(side,), attributes=attributes, opset=opset, free=free)


def _order(draw: st.DrawFn, shape: Shape, *, free: bool) -> Shape:
    """Return the permutation of a Transpose before the operator; none at times."""
    kept = (0,) if free else ()
    rest = draw(st.permutations(range(len(kept), len(shape))))
    return (*kept, *rest) if len(shape) > 1 and draw(st.booleans()) else ()


def _grouped(draw: st.DrawFn, factors: Sequence[int]) -> Shape:
    """Return the factors with some neighbours multiplied."""
    sizes = [factors[0]]
    for factor in factors[1:]:
        if len(sizes) >= 4 or draw(st.booleans()):
            sizes[-1] *= factor
        else:
            sizes.append(factor)
    return tuple(sizes)


_USES: Mapping[str, st.SearchStrategy[Use]] = {
    "Concat": concats(),
    "Expand": expands(),
    "Flatten": flattens(),
    "Pad": pads(),
    "Reshape": reshapes(),
    "Squeeze": squeezes("Squeeze"),
    "Transpose": transposes(),
    "Unsqueeze": squeezes("Unsqueeze"),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
