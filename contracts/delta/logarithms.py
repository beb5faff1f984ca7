"""Logarithms of whole numbers in whole numbers, the same on every machine."""

from __future__ import annotations

import numpy as np

from contracts.delta.lanes import Ints


def bit_lengths(values: Ints) -> Ints:
    """Return the number of bits of each value, 0 for 0; values are below 2**53."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def logarithms(values: Ints, *, steps: int) -> Ints:
    """Return the logarithm to base 2 in 1/steps, bit length and linear between powers; values are at least 1."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    return (exponent.astype(np.int64) - 1) * steps + (mantissa * (2 * steps)).astype(np.int64) - steps
