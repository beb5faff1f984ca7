"""Uses of Resize and Upsample: every way to place, round and mix pixels that ONNX Runtime knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import Side, Use, cases, normal
from tests.optimizer.formats.tflite_emitter.cases.windows import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FACTORS = st.sampled_from((0.5, 0.6, 1.0, 1.5, 2.0, 2.3, 3.0))
_PLACES = st.sampled_from(("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"))


@st.composite
def resizes(draw: st.DrawFn) -> Use:
    """Draw Resize of the last axes, by factors or to sizes."""
    opset, shape = draw(st.sampled_from((11, 13, 18, 19))), (1, 2, draw(st.integers(2, 9)), draw(st.integers(2, 9)))
    mode = draw(st.sampled_from(("nearest", "linear", "cubic")))
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": draw(_PLACES)}
    if mode == "nearest":
        rounding = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        attributes["nearest_mode"] = draw(st.sampled_from(rounding))
    if mode == "cubic":
        attributes["cubic_coeff_a"] = draw(st.sampled_from((-0.5, -0.75)))
    if opset >= 18 and mode != "nearest":
        attributes["antialias"] = draw(st.integers(0, 1))
    factors = (1.0, 1.0, draw(_FACTORS), draw(_FACTORS))
    straight = mode == "cubic"  # ONNX Runtime moves a Transpose past a cubic Resize, and then refuses it itself
    side = Side(shape=shape, values=normal) if straight else draw(images(shape))
    return Use(
        op="Resize",
        sides=(side,),
        parameters=_asked(shape, factors, opset=opset, by_size=draw(st.booleans())),
        attributes=attributes,
        opset=opset,
        free=draw(st.booleans()),
    )


def _asked(
    shape: tuple[int, ...], factors: tuple[float, ...], *, opset: int, by_size: bool
) -> tuple[NDArray[Any] | None, ...]:
    """Return region, factors and sizes; what is not asked for is empty, or left out where the opset allows it."""
    nothing = np.zeros(0, dtype=np.float32) if opset < 13 else None
    if not by_size:
        return nothing, np.asarray(factors, dtype=np.float32)
    wanted = [max(1, int(size * factor)) for size, factor in zip(shape, factors, strict=True)]
    return nothing, nothing, np.asarray(wanted, dtype=np.int64)


@st.composite
def old(draw: st.DrawFn, op: str) -> Use:
    """Draw Upsample, or Resize as it was in opset 10."""
    shape = (1, 3, draw(st.integers(2, 6)), draw(st.integers(2, 6)))
    smallest = 1.0 if op == "Upsample" else 0.5
    factors = [1.0, 1.0, *(draw(st.sampled_from((smallest, 1.5, 2.0, 3.0))) for _ in range(2))]
    by_input = op == "Resize" or draw(st.booleans())
    attributes = {"mode": draw(st.sampled_from(("nearest", "linear")))}
    return Use(
        op=op,
        sides=(Side(shape=shape, values=normal),),
        parameters=(np.asarray(factors, dtype=np.float32),) if by_input else (),
        attributes=attributes if by_input else {**attributes, "scales": factors},
        opset=10 if op == "Resize" else 9 if by_input else 7,
        free=draw(st.booleans()),
    )


_USES: Mapping[str, st.SearchStrategy[Use]] = {
    "Resize": st.one_of(resizes(), resizes(), old("Resize")),
    "Upsample": old("Upsample"),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
