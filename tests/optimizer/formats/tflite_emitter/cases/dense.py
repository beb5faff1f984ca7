"""Uses of products: Gemm, MatMul and Einsum, with constant and computed sides in any order of axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import OPSETS, Shape, Side, Use, cases, normal, sides

_SIZES = st.integers(1, 6)
_EQUATIONS: Mapping[str, tuple[str, ...]] = {
    "bij,bjk->bik": ("bij", "bjk"),
    "bqd,bkd->bqk": ("bqd", "bkd"),
    "bhqd,bhkd->bhqk": ("bhqd", "bhkd"),
    "bqhd,bkhd->bhqk": ("bqhd", "bkhd"),
    "bsd,de->bse": ("bsd", "de"),
    "bsd,hde->bhse": ("bsd", "hde"),
    "...i,ij->...j": ("bhi", "ij"),
    "bi,bi->b": ("bi", "bi"),
    "bi,bj": ("bi", "bj"),
    "bij->bji": ("bij",),
    "bij->b": ("bij",),
    "bchw,bkc->bkhw": ("bchw", "bkc"),
}


@st.composite
def gemms(draw: st.DrawFn) -> Use:
    """Draw Gemm: sides turned, scaled, constant or computed; a third side of any shape that broadcasts, or none."""
    inner, columns = draw(_SIZES), draw(_SIZES)
    constant = draw(st.booleans())
    turned = {"transA": draw(st.integers(0, 1)), "transB": draw(st.integers(0, 1))}
    rows = 1 if not turned["transA"] else draw(_SIZES)
    left = Side(shape=(inner, rows) if turned["transA"] else (rows, inner), values=normal)
    right = Side(
        shape=(columns, inner) if turned["transB"] else (inner, columns), values=normal, constant=constant, rows=False
    )
    added: Shape | None = draw(st.sampled_from((None, (columns,), (1, columns), (1,), (), (rows, 1))))
    given = [left, right]
    if added is not None:
        given.append(Side(shape=added, values=normal, constant=draw(st.booleans()), rows=False))
    scales = {name: draw(st.sampled_from((1.0, 0.5, -2.0))) for name in ("alpha", "beta")}
    return Use(op="Gemm", sides=given, opset=draw(OPSETS), attributes={**turned, **scales}, free=not turned["transA"])


@st.composite
def matmuls(draw: st.DrawFn) -> Use:
    """Draw MatMul: vectors, matrices, and batches of them that broadcast."""
    inner, rank = draw(_SIZES), draw(st.integers(1, 4))
    before: Shape = (1, *draw(st.lists(st.integers(1, 3), min_size=rank - 2, max_size=rank - 2))) if rank > 2 else ()
    free = rank > 1 and draw(st.booleans())
    shape = (*before, 1 if rank == 2 and free else draw(_SIZES), inner) if rank > 1 else (inner,)
    left = draw(sides(shape, normal, free=free)) if rank > 1 else Side(shape=shape, values=normal, rows=False)
    right = draw(_right(before, left.shape[-1], free=free))
    return Use(op="MatMul", sides=(left, right), opset=draw(OPSETS), free=free)


@st.composite
def _right(draw: st.DrawFn, before: Shape, inner: int, *, free: bool) -> Side:
    """Draw the right side of a product: a vector, a matrix, or a batch like the left one's."""
    way = draw(st.sampled_from(("vector", "matrix", "batch")))
    if way == "vector":
        return Side(shape=(inner,), values=normal, constant=draw(st.booleans()), rows=False)
    if way == "matrix" or not before:
        return Side(shape=(inner, draw(_SIZES)), values=normal, constant=draw(st.booleans()), rows=False)
    shape = (*before, inner, draw(_SIZES))
    if draw(st.booleans()):
        return Side(shape=shape, values=normal, constant=True, rows=False)
    computed: Side = draw(sides(shape, normal, free=free))
    return computed


@st.composite
def einsums(draw: st.DrawFn) -> Use:
    """Draw Einsum of the equations that models have."""
    equation = draw(st.sampled_from(sorted(_EQUATIONS)))
    free = draw(st.booleans())
    sizes: dict[str, int] = {"b": 1}
    given: list[Any] = []
    for letters in _EQUATIONS[equation]:
        shape = tuple(sizes.setdefault(letter, draw(st.integers(1, 4))) for letter in letters)
        batched = letters.startswith("b")
        constant = not batched and draw(st.booleans())
        given.append(Side(shape=shape, values=normal, constant=constant, rows=batched))
    return Use(
        op="Einsum",
        sides=given,
        opset=draw(OPSETS.filter(lambda opset: opset > 11)),
        free=free,
        attributes={"equation": equation},
    )


_USES: Mapping[str, st.SearchStrategy[Use]] = {"Einsum": einsums(), "Gemm": gemms(), "MatMul": matmuls()}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
