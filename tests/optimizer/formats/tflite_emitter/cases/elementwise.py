"""Uses of arithmetic on each element: one side, two sides and many that broadcast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import (
    Side,
    Use,
    Values,
    away_from_zero,
    booleans,
    broadcast,
    cases,
    halves,
    integers,
    lone,
    normal,
    positive,
    shapes,
    sides,
)

_INT32, _INT64 = integers("int32"), integers("int64")
_NUMBERS: tuple[Values, ...] = (normal, _INT32, _INT64)
_ONE_SIDE: Mapping[str, Values] = {
    "Ceil": normal,
    "Cos": normal,
    "Erf": normal,
    "Exp": normal,
    "Floor": normal,
    "Log": positive,
    "Reciprocal": away_from_zero,
    "Round": halves,
    "Sin": lambda random, shape: np.asarray(random.uniform(0.1, 3.0, shape), dtype=np.float32),
    "Sqrt": positive,
    "Tan": lambda random, shape: np.asarray(random.uniform(-1.4, 1.4, shape), dtype=np.float32),
}


@st.composite
def of_any_number(draw: st.DrawFn, op: str, *, floats: Values = normal) -> Use:
    """Draw an operator of one side that also takes integers."""
    values = draw(st.sampled_from((floats, _INT32, _INT64)))
    use: Use = draw(lone(op, values, opsets=st.sampled_from((13, 18, 20))))
    return use


@st.composite
def of_two(draw: st.DrawFn, op: str) -> Use:
    """Draw Add, Sub, Mul, of floats and integers."""
    values = draw(st.sampled_from(_NUMBERS))
    use: Use = draw(broadcast(op, (values, values), opsets=st.sampled_from((11, 13, 14, 20))))
    return use


@st.composite
def quotients(draw: st.DrawFn) -> Use:
    """Draw Div: whole quotients go towards 0."""
    values = draw(st.sampled_from(((normal, away_from_zero), (_INT32, integers("int32", 1, 5)))))
    use: Use = draw(broadcast("Div", values, opsets=st.sampled_from((13, 14, 20))))
    return use


@st.composite
def remainders(draw: st.DrawFn) -> Use:
    """Draw Mod of both kinds, with divisors of both signs."""
    element = draw(st.sampled_from(("float32", "int32", "int64")))
    fmod = 1 if element == "float32" else draw(st.integers(0, 1))
    sign = draw(st.sampled_from((1, -1)))
    divisors: Values = lambda random, shape: np.asarray(sign * random.integers(1, 5, shape), dtype=element)  # noqa: E731 - a maker of values, as beside it
    dividends = normal if element == "float32" else integers(element, -9, 10)
    use: Use = draw(broadcast("Mod", (dividends, divisors), opsets=st.sampled_from((11, 13, 20)), fmod=st.just(fmod)))
    return use


@st.composite
def powers(draw: st.DrawFn) -> Use:
    """Draw Pow: to a known number, or to a power of each element."""
    free, opset = draw(st.booleans()), draw(st.sampled_from((12, 13, 15, 20)))
    if draw(st.booleans()):
        use: Use = draw(broadcast("Pow", (positive, normal), opsets=st.just(opset)))
        return use
    side = draw(sides(draw(shapes()), positive, free=free))
    exponent = draw(st.sampled_from((1.0, 2.0, 3.0, 0.5, -0.5, -1.0, 1.7, -2.0)))
    shape = draw(st.sampled_from(((), (1,))))
    power = Side(shape=shape, values=lambda _, shape: np.full(shape, exponent, dtype=np.float32), constant=True)
    return Use(op="Pow", sides=(side, power), opset=opset, free=free)


@st.composite
def of_many(draw: st.DrawFn, op: str) -> Use:
    """Draw Sum, Mean, Min and Max of one to four sides."""
    element = draw(st.sampled_from(_NUMBERS)) if op in ("Max", "Min") else normal
    count = draw(st.integers(1, 4))
    use: Use = draw(broadcast(op, (element,) * count, opsets=st.sampled_from((12, 13, 20))))
    return use


@st.composite
def casts(draw: st.DrawFn) -> Use:
    """Draw Cast between the types that are computed in."""
    from onnx import TensorProto

    values = draw(st.sampled_from((positive, _INT32, _INT64, booleans, integers("uint8", 0, 9))))
    kinds = (TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.UINT8)
    use: Use = draw(lone("Cast", values, to=st.sampled_from(kinds)))
    return use


@st.composite
def casts_like(draw: st.DrawFn) -> Use:
    """Draw CastLike: to the type of a constant."""
    free, makers = draw(st.booleans()), (positive, _INT32, _INT64, booleans)
    side = draw(sides(draw(shapes()), draw(st.sampled_from(makers)), free=free))
    like = Side(shape=(2,), values=draw(st.sampled_from(makers)), constant=True)
    return Use(op="CastLike", sides=(side, like), opset=draw(st.sampled_from((15, 19, 20))), free=free)


_USES: Mapping[str, st.SearchStrategy[Any]] = {
    **{op: lone(op, values, opsets=st.sampled_from((13, 18, 20))) for op, values in _ONE_SIDE.items()},
    **{op: of_any_number(op) for op in ("Abs", "Neg", "Sign")},
    **{op: of_two(op) for op in ("Add", "Mul", "Sub")},
    **{op: of_many(op) for op in ("Max", "Mean", "Min", "Sum")},
    "Cast": casts(),
    "CastLike": casts_like(),
    "Div": quotients(),
    "Mod": remainders(),
    "Pow": powers(),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
