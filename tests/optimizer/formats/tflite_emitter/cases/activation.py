"""Uses of activations, of large and small values, with any bounds and slopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import (
    Shape,
    Side,
    Use,
    Values,
    cases,
    integers,
    lone,
    normal,
    shapes,
    sides,
)

_MODERN = st.sampled_from((14, 18, 20))
_SLOPES = st.floats(0.0, 2.0, width=32)
_BOUNDS = st.sampled_from((-1.0, 0.0, 0.5, 1.0, 6.0, None))


def wide(random: np.random.Generator, shape: Shape) -> Any:
    """Return floats of either sign, up to where exp overflows; the first is 5, so that no result is all rounding."""
    array = np.asarray(random.choice((0.1, 3.0, 100.0)) * random.standard_normal(shape), dtype=np.float32)
    array.reshape(-1)[:1] = 5.0
    return array


@st.composite
def clips(draw: st.DrawFn) -> Use:
    """Draw Clip with bounds as attributes, constants, computed, or left out; of floats and integers."""
    low, high = draw(_BOUNDS), draw(_BOUNDS)
    bounds = (min(low, high), max(low, high)) if low is not None and high is not None else (low, high)
    if draw(st.booleans()):
        given = {name: bound for name, bound in zip(("min", "max"), bounds, strict=True) if bound is not None}
        use: Use = draw(lone("Clip", normal, opsets=st.just(6), **{name: st.just(b) for name, b in given.items()}))
        return use
    element = draw(st.sampled_from(("float32", "int32", "int64")))
    values = normal if element == "float32" else integers(element)
    free, computed = draw(st.booleans()), draw(st.booleans())
    side = draw(sides(draw(shapes()), values, free=free))
    others = [
        None if bound is None else Side(shape=(), values=_always(bound, element), constant=not computed, rows=False)
        for bound in bounds
    ]
    return Use(op="Clip", sides=(side, *others), opset=draw(st.sampled_from((12, 13, 20))), free=free)


@st.composite
def slopes(draw: st.DrawFn) -> Use:
    """Draw PRelu: one slope, one a channel, one a place; constant or computed."""
    free = draw(st.booleans())
    side = draw(sides(draw(shapes(least=2)), normal, free=free))
    shape = side.shape
    part = draw(st.sampled_from(((1,), shape[1:], (shape[1], *(1,) * (len(shape) - 2)), shape[-1:])))
    slope = Side(shape=part, values=normal, constant=draw(st.booleans()), rows=False)
    return Use(op="PRelu", sides=(side, slope), opset=draw(st.sampled_from((11, 16, 20))), free=free)


def _always(number: float | None, element: str) -> Values:
    return lambda _, shape: np.full(shape, number, dtype=element)


_USES: Mapping[str, st.SearchStrategy[Use]] = {
    **{op: lone(op, wide) for op in ("HardSigmoid", "Sigmoid", "Softplus", "Softsign", "Tanh")},
    "Celu": lone("Celu", wide, opsets=st.sampled_from((12, 20)), alpha=st.floats(0.25, 2.0, width=32)),
    "Clip": clips(),
    "Elu": lone("Elu", wide, alpha=_SLOPES),
    "HardSigmoid": lone(
        "HardSigmoid", wide, alpha=st.sampled_from((0.2, 1 / 6, 0.5)), beta=st.sampled_from((0.5, 0.25, 1.0))
    ),
    "HardSwish": lone("HardSwish", wide, opsets=_MODERN),
    "LeakyRelu": lone("LeakyRelu", wide, opsets=st.sampled_from((11, 16, 20)), alpha=_SLOPES),
    "Mish": lone("Mish", wide, opsets=st.sampled_from((18, 20))),
    "PRelu": slopes(),
    "Relu": lone("Relu", wide, opsets=_MODERN),
    "Selu": lone("Selu", wide),
    "Swish": lone("Swish", wide, opsets=st.just(24), alpha=st.floats(0.25, 2.0, width=32)),
    "ThresholdedRelu": lone("ThresholdedRelu", wide, alpha=st.floats(-1.0, 2.0, width=32)),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
