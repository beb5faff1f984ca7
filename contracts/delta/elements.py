"""Elements of tensors as whole numbers in the order of their values, and back; logarithms in whole numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from contracts.delta.lanes import Ints


class Kind(IntEnum):
    """Type of the elements; the number is written in deltas."""

    INT8 = 0
    UINT8 = 1
    INT32 = 2
    FP32 = 3
    FP16 = 4

    @property
    def width(self) -> int:
        """Bytes of one element."""
        return _WIDTHS[self]

    @property
    def small(self) -> bool:
        """Whether elements have 8 bits."""
        return self in (Kind.INT8, Kind.UINT8)

    @property
    def levels(self) -> int:
        """The logarithm to base 2 of the bits of one element."""
        return (8 * self.width).bit_length() - 1


_WIDTHS: Final = (1, 1, 4, 4, 2)
_STORED: Final = ("i1", "u1", "<i4", "<u4", "<u2")
MANTISSA_BITS: Final = {Kind.FP32: 23, Kind.FP16: 10}


def values_of(data: bytes, kind: Kind) -> Ints:
    """Return the elements as integers that grow with the value; a float's are its bit pattern, negative ones turned."""
    stored = np.frombuffer(data, _STORED[kind]).astype(np.int64)
    if kind not in MANTISSA_BITS:
        return stored
    half = 1 << (8 * kind.width - 1)
    turned: Ints = np.where(stored >= half, half - 1 - stored, stored)
    return turned


def bytes_of(values: Ints, kind: Kind) -> bytes:
    """Return the bytes of the elements."""
    if kind in MANTISSA_BITS:
        half = 1 << (8 * kind.width - 1)
        values = np.where(values < 0, half - 1 - values, values)
    return values.astype(_STORED[kind]).tobytes()


def wrapped(values: Ints, kind: Kind) -> Ints:
    """Return the values moved by multiples of the type's span into its signed range."""
    bits = 8 * kind.width
    return ((values + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


def stored_range(values: Ints, kind: Kind) -> Ints:
    """Return the values moved by multiples of the type's span into the range that ``values_of`` gives."""
    return values & 0xFF if kind is Kind.UINT8 else wrapped(values, kind)


def exponents(values: Ints, kind: Kind) -> Ints:
    """Return the biased exponent of each float, at least 1; 0 for integers."""
    if kind not in MANTISSA_BITS:
        return np.zeros_like(values)
    size = np.where(values < 0, -1 - values, values)
    found: Ints = np.maximum(size >> MANTISSA_BITS[kind], 1)
    return found


def is_float(kind: Kind) -> bool:
    """Whether the elements are floating-point numbers."""
    return kind in MANTISSA_BITS


def bit_lengths(values: Ints) -> Ints:
    """Return the number of bits of each value, 0 for 0; values are below 2**53."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def logarithms(values: Ints, *, steps: int) -> Ints:
    """Return the logarithm to base 2 in 1/steps, bit length and linear between powers; values are at least 1."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    return (exponent.astype(np.int64) - 1) * steps + (mantissa * (2 * steps)).astype(np.int64) - steps
