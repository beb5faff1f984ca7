"""Bytes and numbers as C arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

C_TYPES: Final = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "bool": "uint8_t",
    "float32": "float",
}
_WIDTH: Final = 110


def c_array(name: str, values: NDArray[np.generic], *, alignment: int = 0) -> str:
    """Return the definition of a constant array of the values, in C order, of their own type.

    Args:
        name: of the array.
        values: of a type in ``C_TYPES``, any shape.
        alignment: bytes at which it begins a multiple; 0 for its type's own.
    """
    aligned = f"alignas({alignment}) " if alignment else ""
    head = f"{aligned}const {C_TYPES[values.dtype.name]} {name}[{values.size}] = {{"
    return "\n".join((head, *_lines(_numbers(values)), "};", ""))


def _numbers(values: NDArray[np.generic]) -> Iterator[str]:
    if values.dtype == np.float32:
        yield from (_float(float(value)) for value in values.ravel())
        return
    lowest = np.iinfo(np.int32).min
    for value in values.ravel().tolist():
        number = int(value)
        yield f"(-{-(number + 1)} - 1)" if number <= lowest else str(number)


def _float(value: float) -> str:
    """Return the shortest C literal that reads as the same float32; of what is no number, the name in ``<cmath>``."""
    if not math.isfinite(value):
        return "NAN" if math.isnan(value) else f"{'-' if value < 0 else ''}INFINITY"
    text = np.format_float_scientific(np.float32(value), unique=True, trim="0")
    return f"{text}f"


def _lines(words: Iterable[str]) -> Iterator[str]:
    line = "   "
    for word in words:
        if len(line) + len(word) + 2 > _WIDTH:
            yield line
            line = "   "
        line += f" {word},"
    yield line
