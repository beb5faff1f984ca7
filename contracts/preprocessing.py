"""From what a client sends to what the model file takes, and back: the same lines on both sides.

The optimizer measures a candidate behind these steps, the agent serves it behind the same steps,
so training and serving can't diverge. This module, ``contracts.postprocessing`` and ``contracts.features``
are the places of this package that use numpy (ADR 0002).

A step is data (it travels in the artifact's manifest); ``apply_steps`` runs a list of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from contracts.errors import TensorError
from contracts.tensors import ElementType, Quantization, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DTYPES: dict[ElementType, np.dtype[np.generic]] = {
    ElementType.FP32: np.dtype("<f4"),
    ElementType.FP16: np.dtype("<f2"),
    ElementType.INT8: np.dtype("i1"),
    ElementType.UINT8: np.dtype("u1"),
    ElementType.INT32: np.dtype("<i4"),
    ElementType.INT64: np.dtype("<i8"),
    ElementType.BOOL: np.dtype("?"),
}


class StepKind(StrEnum):
    """What a preprocessing step does to one tensor."""

    SCALE = "scale"
    """value x factor + offset, per channel of axis 1 where the lists have more than one entry."""
    CHANNEL_LAST = "channel_last"
    """(n, c, h, w) becomes (n, h, w, c), and (n, c, l) becomes (n, l, c)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One preprocessing step on the served input ``tensor``."""

    kind: StepKind
    tensor: str
    factor: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        """Refuse numbers that are none: they would make every input the same."""
        for name, numbers in (("factor", self.factor), ("offset", self.offset)):
            if not numbers or not all(map(math.isfinite, numbers)):
                raise ValueError(f"preprocessing of {self.tensor}: {name} {numbers} is not finite numbers")


def apply_steps(steps: Sequence[Step], tensor: str, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the values of one served input after the steps that name it, in order.

    Args:
        steps: the manifest's preprocessing; those for other tensors are passed over.
        tensor: name of the served input.
        values: shape (n, ...), as the client sent them.

    Raises:
        TensorError: a step does not fit the values' shape.
    """
    for step in steps:
        if step.tensor == tensor:
            values = _apply(step, values)
    return values


def to_stored(values: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.generic]:
    """Return real values in the element type of the model file's tensor, quantized where it is.

    Rounds half to even and saturates, as the runtimes do.
    """
    if spec.quantization is None:
        return np.ascontiguousarray(values, dtype=DTYPES[spec.element])
    dtype = DTYPES[spec.element]
    limits = np.iinfo(dtype.name)
    stored = np.rint(values.astype(np.float32) / np.float32(spec.quantization.scale)) + spec.quantization.zero_point
    saturated: NDArray[np.generic] = np.clip(stored, limits.min, limits.max).astype(dtype)
    return saturated


def to_real(stored: NDArray[np.generic], quantization: Quantization | None) -> NDArray[np.float32]:
    """Return the real values, float32, of a stored tensor."""
    if quantization is None:
        return stored.astype(np.float32, copy=False)
    return (stored.astype(np.float32) - np.float32(quantization.zero_point)) * np.float32(quantization.scale)


def along_channels(tensor: str, numbers: tuple[float, ...], values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the numbers shaped to meet the values: one for all, or one for each channel of axis 1.

    Raises:
        TensorError: there is neither one nor as many as the values have channels.
    """
    array = np.asarray(numbers, dtype=np.float32)
    if array.size == 1:
        return array.reshape(())
    if values.ndim < 2 or values.shape[1] != array.size:
        raise TensorError(f"{tensor}: {array.size} factors for shape {values.shape}; give one per channel")
    return array.reshape((1, array.size) + (1,) * (values.ndim - 2))


def _apply(step: Step, values: NDArray[np.generic]) -> NDArray[np.generic]:
    if step.kind is StepKind.CHANNEL_LAST:
        if values.ndim not in (3, 4):
            raise TensorError(f"{step.tensor}: channel_last needs (n, c, h, w) or (n, c, l), got shape {values.shape}")
        return np.ascontiguousarray(np.moveaxis(values, 1, -1))
    return values.astype(np.float32) * along_channels(step.tensor, step.factor, values) + along_channels(
        step.tensor, step.offset, values
    )
