"""What a model takes and gives: tensor names, types and shapes.

A shape is a tuple of sizes; ``-1`` in the first place is the batch. The element types are those of
the Open Inference Protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ElementType(StrEnum):
    """Type of one element, in the Open Inference Protocol's words."""

    FP32 = "FP32"
    FP16 = "FP16"
    INT8 = "INT8"
    UINT8 = "UINT8"
    INT32 = "INT32"
    INT64 = "INT64"
    BOOL = "BOOL"

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point numbers."""
        return self in (ElementType.FP32, ElementType.FP16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """Affine quantization of a whole tensor: real = scale x (stored - zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One named input or output of a model.

    ``shape`` counts elements; -1 in the first place is any batch size. ``low`` and ``high`` bound
    each value where the model's author states a range (a request outside it is answered with 400).
    """

    name: str
    element: ElementType
    shape: tuple[int, ...]
    quantization: Quantization | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Refuse an empty name and sizes that no array can have."""
        if not self.name:
            raise ValueError("a tensor needs a name")
        if any(size < 1 for size in self.shape[1:]) or any(size < -1 or size == 0 for size in self.shape[:1]):
            raise ValueError(f"tensor {self.name}: shape {self.shape} has a size that is not positive")

    @property
    def elements_per_row(self) -> int:
        """How many elements one row of the batch has."""
        count = 1
        for size in self.shape[1:]:
            count *= size
        return count
