"""Uses of BatchNormalization, which becomes a factor and an offset, or part of the convolution before it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import OPSETS, Use, cases, normal, positive, shapes, sides


@st.composite
def normalizations(draw: st.DrawFn) -> Use:
    """Draw the normalization of two to five axes, in any order of axes."""
    shape, free = draw(shapes(least=2)), draw(st.booleans())
    side = draw(sides(shape, normal, free=free))
    random, width = np.random.default_rng(draw(st.integers(0, 9))), (side.shape[1],)
    statistics = (normal(random, width), normal(random, width), normal(random, width), positive(random, width))
    attributes = {"epsilon": draw(st.sampled_from((1e-5, 1e-3)))}
    opset = draw(OPSETS)
    return Use(
        op="BatchNormalization", sides=(side,), parameters=statistics, attributes=attributes, opset=opset, free=free
    )


CASES: Mapping[str, st.SearchStrategy[Case]] = {"BatchNormalization": cases(normalizations())}
