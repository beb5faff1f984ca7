"""Uses of Attention and Gelu."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import Shape, Side, Use, booleans, cases, lone, normal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALL = st.integers(1, 4)


def _one_large(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return normal floats and a 4: XNNPACK's GELU is exact to 2e-7, which is much where all results are small."""
    array = normal(random, shape)
    array.reshape(-1)[0] = 4.0
    return array


@st.composite
def attentions(draw: st.DrawFn) -> Use:
    """Draw Attention of rank 3 or 4, with or without a mask, causal or not."""
    heads, width, tokens, others = draw(_SMALL), draw(_SMALL), draw(_SMALL), draw(_SMALL)
    attributes: dict[str, Any] = {}
    if draw(st.booleans()):
        attributes["scale"] = 0.3
    if draw(st.booleans()):
        shapes: list[Shape] = [(1, heads, count, width) for count in (tokens, others, others)]
    else:
        shapes = [(1, count, heads * width) for count in (tokens, others, others)]
        attributes |= {"q_num_heads": heads, "kv_num_heads": heads}
    given = [Side(shape=shape, values=normal) for shape in shapes]
    way = draw(st.sampled_from(("none", "added", "truth", "causal")))
    if way == "causal":
        attributes["is_causal"] = 1
    if way in ("added", "truth"):
        values = normal if way == "added" else booleans
        given.append(Side(shape=(tokens, others), values=values, constant=draw(st.booleans()), rows=False))
    return Use(op="Attention", sides=given, opset=23, attributes=attributes, free=draw(st.booleans()))


_USES: Mapping[str, st.SearchStrategy[Use]] = {
    "Attention": attentions(),
    "Gelu": lone("Gelu", _one_large, opsets=st.just(20), approximate=st.sampled_from(("none", "tanh"))),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
