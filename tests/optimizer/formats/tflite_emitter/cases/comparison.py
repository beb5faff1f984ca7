"""Uses of comparisons, logic, tests for NaN and infinity, bits and Where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import (
    Shape,
    Use,
    booleans,
    broadcast,
    cases,
    halves,
    integers,
    lone,
    normal,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MODERN = st.sampled_from((13, 16, 19, 20))
_BITS = st.sampled_from((18, 20))


def strange(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return floats with NaN and both infinities among them."""
    return np.asarray(random.choice((0.0, -1.5, np.nan, np.inf, -np.inf), shape), dtype=np.float32)


@st.composite
def compared(draw: st.DrawFn, op: str, elements: tuple[str, ...]) -> Use:
    """Draw a comparison of two sides of one type, with equals among them."""
    makers = {"bool": booleans, "float32": halves}
    values = draw(st.sampled_from([makers.get(element) or integers(element) for element in elements]))
    use: Use = draw(broadcast(op, (values, values), opsets=_BITS if op.startswith("Bitwise") else _MODERN))
    return use


@st.composite
def choices(draw: st.DrawFn) -> Use:
    """Draw Where."""
    values = draw(st.sampled_from((normal, integers("int32"), integers("int64"), integers("uint8", 0, 9))))
    use: Use = draw(broadcast("Where", (booleans, values, values)))
    return use


_NUMBERS = ("float32", "int32", "int64")
_USES: Mapping[str, st.SearchStrategy[Use]] = {
    **{op: compared(op, _NUMBERS) for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")},
    **{op: compared(op, ("bool",)) for op in ("And", "Or", "Xor")},
    "BitwiseNot": lone("BitwiseNot", integers("int32"), opsets=_BITS),
    "BitwiseXor": compared("BitwiseXor", ("int32",)),
    "Equal": compared("Equal", (*_NUMBERS, "bool")),
    "IsInf": lone("IsInf", strange, detect_positive=st.integers(0, 1), detect_negative=st.integers(0, 1)),
    "IsNaN": lone("IsNaN", strange),
    "Not": lone("Not", booleans),
    "Where": choices(),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
