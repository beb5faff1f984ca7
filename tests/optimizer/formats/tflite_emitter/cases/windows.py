"""Uses of convolutions, pools and pixel shuffles: images and lines, any window, channel-last or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import Shape, Side, Use, Values, cases, normal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AUTOMATIC = st.sampled_from(("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"))
_POOL_OPSETS = st.sampled_from((11, 18, 22))


def numbers(*shape: int) -> NDArray[np.float32]:
    """Return seeded normal weights."""
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


@st.composite
def images(draw: st.DrawFn, shape: Shape, values: Values = normal) -> Side:
    """Draw an image or a line of that shape, channel-last before a Transpose by a coin."""
    turned = (0, len(shape) - 1, *range(1, len(shape) - 1)) if draw(st.booleans()) else ()
    return Side(shape=shape, values=values, turned=turned)


@st.composite
def windows(draw: st.DrawFn, rank: int, *, dilated: bool = True, automatic: bool = True) -> dict[str, Any]:
    """Draw the attributes of a window over so many axes."""
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    drawn: dict[str, Any] = {"kernel_shape": kernel, "strides": [draw(st.integers(1, 3)) for _ in range(rank)]}
    if dilated and draw(st.booleans()):
        drawn["dilations"] = [draw(st.integers(1, 3)) for _ in range(rank)]
    drawn["auto_pad"] = draw(_AUTOMATIC) if automatic else "NOTSET"
    if drawn["auto_pad"] == "NOTSET":
        drawn["pads"] = [draw(st.integers(0, kernel[place % rank] // 2)) for place in range(2 * rank)]
    if drawn["auto_pad"].startswith("SAME"):
        drawn.pop("dilations", None)
        drawn["strides"] = [min(pair) for pair in zip(drawn["strides"], kernel, strict=True)]
    return drawn


@st.composite
def convolutions(draw: st.DrawFn) -> Use:
    """Draw Conv: one group, groups, or one for each channel."""
    rank, groups, share = draw(st.integers(1, 2)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    window = draw(windows(rank))
    outputs = groups * draw(st.integers(1, 3))
    kernel = numbers(outputs, share, *window["kernel_shape"])
    bias = numbers(outputs) if draw(st.booleans()) else None
    shape = (1, groups * share, *(draw(st.integers(10, 13)) for _ in range(rank)))
    return Use(
        op="Conv",
        sides=(draw(images(shape)),),
        parameters=(kernel,) if bias is None else (kernel, bias),
        attributes={**window, "group": groups},
        opset=draw(st.sampled_from((11, 18, 22))),
        free=draw(st.booleans()),
    )


@st.composite
def transposed(draw: st.DrawFn) -> Use:
    """Draw ConvTranspose: strides, padding, more or given sizes of its result, groups."""
    rank, groups, share = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    window = draw(windows(rank, automatic=False))
    strides = window["strides"]
    sizes = [draw(st.integers(3, 6)) for _ in range(rank)]
    window["output_padding"] = [draw(st.integers(0, stride - 1)) for stride in strides]
    kernel = numbers(groups * share, draw(st.integers(1, 3)), *window["kernel_shape"])
    if draw(st.integers(0, 3)) == 0:
        window["auto_pad"] = draw(st.sampled_from(("SAME_UPPER", "SAME_LOWER")))
        window.pop("pads")
        window["output_shape"] = [size * stride for size, stride in zip(sizes, strides, strict=True)]
        window["output_padding"] = [0] * rank
        window["kernel_shape"] = [max(pair) for pair in zip(window["kernel_shape"], strides, strict=True)]
        kernel = numbers(*kernel.shape[:2], *window["kernel_shape"])
        window.pop("dilations", None)
    bias = (numbers(groups * kernel.shape[1]),) if draw(st.booleans()) else ()
    return Use(
        op="ConvTranspose",
        sides=(draw(images((1, groups * share, *sizes))),),
        parameters=(kernel, *bias),
        attributes={**window, "group": groups},
        opset=draw(st.sampled_from((11, 22))),
        free=draw(st.booleans()),
    )


@st.composite
def pools(draw: st.DrawFn, op: str) -> Use:
    """Draw a pool; windows that ceil_mode lays in the padding alone may be refused."""
    rank, opset = draw(st.integers(1, 2)), draw(_POOL_OPSETS)
    first = {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[op]
    window = draw(windows(rank, dilated=opset >= first))
    if op != "LpPool" or opset >= 18:
        window["ceil_mode"] = draw(st.integers(0, 1)) if window["auto_pad"] == "NOTSET" else 0
    if op == "AveragePool":
        window["count_include_pad"] = draw(st.integers(0, 1)) if window["auto_pad"] == "NOTSET" else 0
    if op == "LpPool":
        window["p"] = draw(st.integers(1, 3))
    shape = (1, draw(st.integers(1, 4)), *(draw(st.integers(10, 13)) for _ in range(rank)))
    return Use(
        op=op,
        sides=(draw(images(shape)),),
        attributes=window,
        opset=opset,
        free=draw(st.booleans()),
        refusable=bool(window.get("ceil_mode")),
    )


@st.composite
def neighbours(draw: st.DrawFn) -> Use:
    """Draw LRN."""
    attributes = {
        "size": draw(st.sampled_from((1, 3, 5))),
        "alpha": draw(st.sampled_from((1e-4, 0.5))),
        "beta": draw(st.sampled_from((0.5, 0.75, 1.0))),
        "bias": draw(st.sampled_from((1.0, 2.0))),
    }
    shape = (1, draw(st.integers(1, 7)), 4, 5)
    return Use(op="LRN", sides=(draw(images(shape)),), attributes=attributes, opset=13, free=draw(st.booleans()))


@st.composite
def shuffles(draw: st.DrawFn, op: str) -> Use:
    """Draw DepthToSpace of both modes, or SpaceToDepth."""
    block, channels = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    shape = (1, channels * block**2, 3, 4) if op == "DepthToSpace" else (1, channels, 3 * block, 2 * block)
    mode = {"mode": draw(st.sampled_from(("DCR", "CRD")))} if op == "DepthToSpace" else {}
    attributes = {"blocksize": block, **mode}
    opset = draw(st.sampled_from((11, 13)))
    return Use(op=op, sides=(draw(images(shape)),), attributes=attributes, opset=opset, free=draw(st.booleans()))


_USES: Mapping[str, st.SearchStrategy[Use]] = {
    **{op: pools(op) for op in ("AveragePool", "LpPool", "MaxPool")},
    **{op: shuffles(op) for op in ("DepthToSpace", "SpaceToDepth")},
    "Conv": convolutions(),
    "ConvTranspose": transposed(),
    "LRN": neighbours(),
}
CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(uses) for op, uses in _USES.items()}
