"""The second moment of what a layer's weights are multiplied with: its output's squared error depends on it alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.passes.static.tensors import attribute

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST: Final = 4608
"""Inputs of a weight above which the moment (inputs x inputs) takes too long: 512 channels in a 3x3 window."""
_PLACES: Final = 64
"""Places of a window that one row gives, evenly spread: neighbours say the same."""


def fits(operation: Any, shape: tuple[int, ...]) -> bool:
    """Whether ``moment_of`` takes a layer with weights of that shape."""
    if operation.op_type == "Conv":
        return math.prod(shape[1:]) <= _LARGEST
    if operation.op_type == "Gemm" and attribute(operation, "transA", 0):
        return False
    return operation.op_type in ("Gemm", "MatMul") and len(shape) == 2 and max(shape) <= _LARGEST


def moment_of(operation: Any, values: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the sum over rows and places of input times input, shape (groups, inputs, inputs).

    Args:
        operation: a layer that ``fits``.
        values: what it reads, rows first.
        shape: of its weights.
    """
    if operation.op_type == "Conv":
        seen = _windows(operation, values.astype(np.float32), shape[2:])
    else:
        seen = values.astype(np.float32).reshape(1, -1, values.shape[-1])
    return np.asarray(np.matmul(seen.transpose(0, 2, 1), seen), np.float64)


def _windows(operation: Any, values: NDArray[np.float32], kernel: tuple[int, ...]) -> NDArray[np.float32]:
    """Return what each window of a convolution sees at some of its places, shape (groups, rows * places, inputs)."""
    rank = len(kernel)
    strides = tuple(attribute(operation, "strides", [1] * rank))
    dilations = tuple(attribute(operation, "dilations", [1] * rank))
    spans = tuple((size - 1) * gap + 1 for size, gap in zip(kernel, dilations, strict=True))
    padded = np.pad(values, [(0, 0), (0, 0), *_padding(operation, values.shape[2:], spans, strides)])
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(2, 2 + rank)))
    every = tuple(slice(None, None, step) for step in strides)
    inner = tuple(slice(None, None, gap) for gap in dilations)
    views = views[(slice(None), slice(None), *every, *inner)]
    thinner = _thinning(views.shape[2 : 2 + rank])
    views = views[(slice(None), slice(None), *(slice(None, None, step) for step in thinner))]
    groups = int(attribute(operation, "group", 1))
    rows, channels = views.shape[:2]
    parted = views.reshape(rows, groups, channels // groups, -1, math.prod(kernel))
    return np.ascontiguousarray(parted.transpose(1, 0, 3, 2, 4)).reshape(
        groups, -1, channels // groups * math.prod(kernel)
    )


def _padding(
    operation: Any, sizes: tuple[int, ...], spans: tuple[int, ...], strides: tuple[int, ...]
) -> list[tuple[int, int]]:
    kind = attribute(operation, "auto_pad", b"NOTSET").decode()
    if kind.startswith("SAME"):
        wholes = [
            max((-(-size // step) - 1) * step + span - size, 0)
            for size, span, step in zip(sizes, spans, strides, strict=True)
        ]
        halves = [(whole // 2, whole - whole // 2) for whole in wholes]
        return halves if kind == "SAME_UPPER" else [(after, before) for before, after in halves]
    if kind == "VALID":
        return [(0, 0)] * len(spans)
    pads = list(attribute(operation, "pads", [0] * (2 * len(spans))))
    return list(zip(pads[: len(spans)], pads[len(spans) :], strict=True))


def _thinning(places: tuple[int, ...]) -> tuple[int, ...]:
    """Return the step on each axis that leaves about ``_PLACES`` places."""
    share = max(math.prod(places) / _PLACES, 1.0)
    step = max(math.ceil(share ** (1 / len(places)) - 0.5), 1)
    return tuple(min(step, size) for size in places)
