"""Uses of what chooses, repeats or replaces elements: any axis, any layout, indices from either end."""

from __future__ import annotations

from collections.abc import Mapping
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

_ANY: st.SearchStrategy[Values] = st.sampled_from((normal, normal, integers("int64"), integers("int32"), booleans))


def ids(*values: int) -> NDArray[np.int64]:
    """Return an int64 constant."""
    return np.asarray(values, dtype=np.int64)


@st.composite
def slices(draw: st.DrawFn) -> Use:
    """Draw Slice of some axes, ends beyond, steps of either sign; the batch stays whole where it is free."""
    free = draw(st.booleans())
    side = draw(sides(draw(shapes(least=2)), draw(_ANY), free=free))
    shape = side.shape
    chosen = draw(st.lists(st.integers(1 if free else 0, len(shape) - 1), min_size=1, unique=True))
    bounds = []
    for axis in chosen:
        size, step = shape[axis], draw(st.sampled_from((1, 1, 1, 2, -1, -2)))
        start = draw(st.integers(0, size - 1))
        far = draw(st.booleans())
        end = ((1 << 62) if step > 0 else -(1 << 62)) if far else start + (1 if step > 0 else -1)
        end = end if far or end >= 0 else -(size + 1)
        turned = axis - len(shape) if draw(st.booleans()) else axis
        bounds.append((start - size if draw(st.booleans()) else start, end, turned, step))
    starts, ends, axes, steps = (ids(*part) for part in zip(*bounds, strict=True))
    return Use(op="Slice", sides=(side,), parameters=(starts, ends, axes, steps), opset=13, free=free)


@st.composite
def gathers(draw: st.DrawFn) -> Use:
    """Draw Gather by constant indices of any rank, of either sign, or by computed ones from the start."""
    free = draw(st.booleans())
    side = draw(sides(draw(shapes(least=2, most=4)), draw(_ANY), free=free))
    shape, rank, computed = side.shape, draw(st.integers(0, 2)), draw(st.booleans())
    axis = draw(st.integers(1 if free else 0, len(shape) - 1))
    size = shape[axis]
    indices = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    low = 0 if computed else -size
    index = Side(
        shape=indices,
        values=integers(draw(st.sampled_from(("int32", "int64"))), low, size),
        constant=not computed,
        rows=False,
    )
    attributes = {"axis": axis - len(shape) if draw(st.booleans()) else axis}
    return Use(
        op="Gather", sides=(side, index), attributes=attributes, opset=draw(st.sampled_from((11, 13))), free=free
    )


@st.composite
def lookups(draw: st.DrawFn) -> Use:
    """Draw Gather of a constant table by computed ids, the batch free."""
    table = Side(shape=(7, draw(st.integers(1, 4))), values=normal, constant=True)
    index = Side(shape=(1, *draw(st.lists(st.integers(1, 4), max_size=2))), values=integers("int64", 0, 7))
    return Use(op="Gather", sides=(table, index), opset=13, free=draw(st.booleans()))


@st.composite
def elements(draw: st.DrawFn, op: str) -> Use:
    """Draw GatherElements, or ScatterElements by constant indices."""
    scatters = op == "ScatterElements"
    shape, free = draw(shapes(least=2, most=4)), draw(st.booleans()) and not scatters
    axis = draw(st.integers(1 if free else 0, len(shape) - 1))
    some = tuple(draw(st.integers(1, size)) for size in shape)
    computed = not scatters and (free or draw(st.booleans()))
    order = np.random.default_rng(0).permutation(shape[axis])[: some[axis]]
    lanes = order.reshape([-1 if place == axis else 1 for place in range(len(shape))])
    picked = integers("int64", -shape[axis], shape[axis])
    index = Side(shape=some, values=_always(lanes) if scatters else picked, constant=not computed)
    updates = (Side(shape=some, values=normal),) if scatters else ()
    side = Side(shape=shape, values=normal) if scatters else draw(sides(shape, normal, free=free))
    side = Side(shape=shape, values=normal) if side.flat else side
    opset = draw(st.sampled_from((11, 13, 18)))
    return Use(op=op, sides=(side, index, *updates), attributes={"axis": axis}, opset=opset, free=free)


def _always(array: NDArray[Any]) -> Values:
    """Return a maker of these numbers, broadcast to the shape."""
    return lambda _, shape: np.broadcast_to(array, shape).astype(np.int64)


@st.composite
def gathers_nd(draw: st.DrawFn) -> Use:
    """Draw GatherND, with and without batch axes."""
    shape, kept = draw(shapes(least=3, most=4)), draw(st.integers(0, 1))
    free = bool(kept) and draw(st.booleans())
    depth = draw(st.integers(1, len(shape) - kept))
    computed = free or draw(st.booleans())
    sizes = np.asarray(shape[kept : kept + depth])

    def values(random: np.random.Generator, asked: Shape) -> NDArray[Any]:
        return np.asarray(random.integers(-sizes, sizes, asked), dtype=np.int64)

    index = Side(shape=(*shape[:kept], draw(st.integers(1, 3)), depth), values=values, constant=not computed)
    side = Side(shape=shape, values=normal)
    return Use(op="GatherND", sides=(side, index), attributes={"batch_dims": kept}, opset=13, free=free)


@st.composite
def scatters_nd(draw: st.DrawFn) -> Use:
    """Draw ScatterND: constant places, each once; or computed ones that add."""
    shape = draw(shapes(least=2, most=4))
    depth = draw(st.integers(1, len(shape)))
    count = int(np.prod(shape[:depth]))
    chosen = np.random.default_rng(draw(st.integers(0, 9))).permutation(count)[: draw(st.integers(1, count))]
    places = np.stack(np.unravel_index(chosen, shape[:depth]), axis=-1)
    adds = draw(st.booleans())
    places = places - draw(st.sampled_from((0, 1))) * np.asarray(shape[:depth])
    index = Side(shape=places.shape, values=_always(places), constant=not adds, rows=False)
    updates = Side(shape=(*places.shape[:-1], *shape[depth:]), values=normal)
    attributes = {"reduction": "add"} if adds else {}
    data = Side(shape=shape, values=normal)
    return Use(op="ScatterND", sides=(data, index, updates), attributes=attributes, opset=18, free=False)


@st.composite
def one_hots(draw: st.DrawFn) -> Use:
    """Draw OneHot of ids of either sign, some beyond the depth."""
    shape, depth = draw(shapes(most=3)), draw(st.integers(1, 5))
    counted, element = draw(st.sampled_from((("int64", "int64"), ("int64", "float32"), ("int32", "float32"))))
    side = Side(shape=shape, values=integers(counted, -7, 8))
    return Use(
        op="OneHot",
        sides=(side,),
        parameters=(np.asarray([depth], dtype=counted), np.asarray((2, 5), dtype=element)),
        attributes={"axis": draw(st.integers(-len(shape) - 1, len(shape)))},
        opset=11,
        free=draw(st.booleans()),
    )


@st.composite
def tiles(draw: st.DrawFn) -> Use:
    """Draw Tile."""
    shape, free = draw(shapes(most=4)), draw(st.booleans())
    repeats = [1 if free and not axis else draw(st.integers(1, 3)) for axis in range(len(shape))]
    side = draw(sides(shape, draw(_ANY), free=free))
    return Use(op="Tile", sides=(side,), parameters=(ids(*repeats),), opset=13, free=free)


@st.composite
def triangles(draw: st.DrawFn) -> Use:
    """Draw Trilu of either half."""
    shape, free = draw(shapes(least=3, most=4)), draw(st.booleans())
    side = draw(sides(shape, draw(st.sampled_from((normal, integers("int64")))), free=free))
    offset = (np.asarray(draw(st.integers(-3, 3)), dtype=np.int64),) if draw(st.booleans()) else ()
    attributes = {"upper": draw(st.integers(0, 1))}
    return Use(op="Trilu", sides=(side,), parameters=offset, attributes=attributes, opset=14, free=free)


@st.composite
def eyes(draw: st.DrawFn) -> Use:
    """Draw EyeLike of a fixed size."""
    side = Side(shape=(draw(st.integers(1, 4)), draw(st.integers(1, 4))), values=normal)
    return Use(op="EyeLike", sides=(side,), attributes={"k": draw(st.integers(-2, 2))}, opset=9, free=False)


@st.composite
def reversals(draw: st.DrawFn) -> Use:
    """Draw ReverseSequence with computed lengths."""
    shape: Shape = (1, draw(st.integers(2, 5)), *draw(st.lists(st.integers(1, 3), max_size=2)))
    lengths = Side(shape=(1,), values=integers("int64", 1, shape[1] + 1))
    sequence = Side(shape=shape, values=normal)
    attributes = {"batch_axis": 0, "time_axis": 1}
    return Use(
        op="ReverseSequence", sides=(sequence, lengths), attributes=attributes, opset=10, free=draw(st.booleans())
    )


@st.composite
def crops(draw: st.DrawFn) -> Use:
    """Draw CenterCropPad of the axes after the first."""
    shape, free = draw(shapes(least=2, most=4)), draw(st.booleans())
    wanted = ids(*(draw(st.integers(1, 6)) for _ in shape[1:]))
    side = draw(sides(shape, normal, free=free))
    attributes = {"axes": list(range(1, len(shape)))}
    return Use(op="CenterCropPad", sides=(side,), parameters=(wanted,), attributes=attributes, opset=18, free=free)


@st.composite
def splits(draw: st.DrawFn) -> Use:
    """Draw Split into equal or named parts, on any axis but the batch."""
    shape, free = list(draw(shapes(least=2, most=4))), draw(st.booleans())
    axis, count = draw(st.integers(1, len(shape) - 1)), draw(st.integers(1, 4))
    equal, opset = draw(st.booleans()), draw(st.sampled_from((11, 13, 18)))
    parts = [2] * count if equal else [draw(st.integers(1, 3)) for _ in range(count)]
    shape[axis] = sum(parts)
    attributes: dict[str, Any] = {"axis": axis - len(shape) if draw(st.booleans()) else axis}
    if opset == 11 and not equal:
        attributes["split"] = parts
    if opset == 18 and equal:
        attributes["num_outputs"] = count
    given = (ids(*parts),) if opset > 11 and "num_outputs" not in attributes else ()
    side = draw(sides(tuple(shape), draw(_ANY), free=free))
    side = Side(shape=tuple(shape), values=normal) if side.flat else side
    return Use(
        op="Split",
        sides=(side,),
        parameters=given,
        attributes=attributes,
        outputs=[f"part{place}" for place in range(count)],
        opset=opset,
        free=free,
    )


@st.composite
def tops(draw: st.DrawFn) -> Use:
    """Draw TopK of either end, with ties."""
    shape, free = draw(shapes(least=2, most=4)), draw(st.booleans())
    axis = draw(st.integers(1, len(shape) - 1))
    values = integers(draw(st.sampled_from(("float32", "int32"))), -2, 3)
    side = draw(sides(shape, values, free=free))
    side = Side(shape=shape, values=values) if side.flat else side
    attributes = {"axis": axis, "largest": draw(st.integers(0, 1))}
    count = ids(draw(st.integers(1, shape[axis])))
    return Use(
        op="TopK",
        sides=(side,),
        parameters=(count,),
        attributes=attributes,
        outputs=("values", "places"),
        opset=11,
        free=free,
    )


_USES: Mapping[str, st.SearchStrategy[Use]] = {
    **{op: elements(op) for op in ("GatherElements", "ScatterElements")},
    "CenterCropPad": crops(),
    "EyeLike": eyes(),
    "Gather": st.one_of(gathers(), gathers(), lookups()),
    "GatherND": gathers_nd(),
    "OneHot": one_hots(),
    "ReverseSequence": reversals(),
    "ScatterND": scatters_nd(),
    "Slice": slices(),
    "Split": splits(),
    "Tile": tiles(),
    "TopK": tops(),
    "Trilu": triangles(),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
