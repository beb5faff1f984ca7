"""What a row looked like: an image as a picture, a series as curves, a table's row by its columns; tails are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.report.png import png_uri

_SIDE, _LARGEST = 96, 128
"""Pictures are shown this wide or high, and stored with at most that many pixels a side."""
_CURVE_WIDTH, _CURVE_HEIGHT = 144.0, 48.0
_MOST_CURVES, _MOST_POINTS = 5, 144
_MOST_CELLS = 10
_LONGEST_TABLE = 24
"""Longer rows of numbers without column names are a series."""
_LONGEST_TOKENS = 512
"""Longer rows of whole numbers are samples of a signal, not tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image, as a data URI, with its size on the page in pixels."""

    kind: ClassVar[str] = "picture"
    name: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """A series: SVG points for each of its channels; ``left_out`` channels are not drawn."""

    kind: ClassVar[str] = "curves"
    name: str
    lines: tuple[str, ...]
    width: float
    height: float
    low: str
    high: str
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Numbers by column; ``left_out`` are not shown."""

    kind: ClassVar[str] = "cells"
    name: str
    cells: tuple[tuple[str, str], ...]
    left_out: int


View: TypeAlias = Picture | Curves | Cells


def views(name: str, rows: NDArray[np.generic], columns: tuple[str, ...] = ()) -> tuple[View, ...]:
    """Return what each row looks like.

    Args:
        name: the tensor's.
        rows: raw values, shape (n, ...), n >= 1.
        columns: names of the elements of a row, for a table.
    """
    shape = rows.shape[1:]
    elements = int(np.prod(shape))
    if columns and len(columns) == elements:
        return tuple(_cells(name, row.reshape(-1), columns) for row in rows)
    images = _as_images(rows)
    if images is not None:
        return tuple(_picture(name, image) for image in _to_bytes(images))
    if _is_series(shape, rows.dtype):
        return tuple(_curves(name, row.reshape(-1, shape[-1]) if len(shape) > 1 else row[None]) for row in rows)
    return tuple(_cells(name, row.reshape(-1), ()) for row in rows)


def _as_images(rows: NDArray[np.generic]) -> NDArray[np.generic] | None:
    """Return (n, height, width) or (n, height, width, 3); None where rows are no images."""
    shape = rows.shape[1:]
    if len(shape) == 2 and min(shape) >= 16 and max(shape) < 4 * min(shape):
        return rows
    if len(shape) != 3:
        return None
    if shape[0] in (1, 3, 4) and min(shape[1:]) >= 4:
        rows, shape = np.moveaxis(rows, 1, -1), (*shape[1:], shape[0])
    if shape[-1] not in (1, 3, 4) or min(shape[:2]) < 4:
        return None
    return rows[..., 0] if shape[-1] == 1 else rows[..., :3]


def _to_bytes(images: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the images as 0 to 255: bytes as they are, all else stretched over what these images hold."""
    if images.dtype == np.uint8:
        return images.astype(np.uint8)
    values = images.astype(np.float64)
    low, high = (0.0, 255.0) if 200 < values.max() <= 255 and values.min() >= 0 else (values.min(), values.max())
    stretched: NDArray[np.uint8] = ((values - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)
    return stretched


def _picture(name: str, image: NDArray[np.uint8]) -> Picture:
    step = -(-max(image.shape[:2]) // _LARGEST)
    height, width = (side // step for side in image.shape[:2])
    if step > 1 and height and width:
        blocks = image[: height * step, : width * step].reshape(height, step, width, step, *image.shape[2:])
        image = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    scale = _SIDE / max(image.shape[:2])
    shown_height, shown_width = (max(round(side * scale), 8) for side in image.shape[:2])
    return Picture(name=name, uri=png_uri(image), width=shown_width, height=shown_height)


def _is_series(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bool:
    if len(shape) == 1:
        tokens = np.issubdtype(dtype, np.integer) and shape[0] <= _LONGEST_TOKENS
        return shape[0] > _LONGEST_TABLE and not tokens
    return len(shape) in (2, 3) and max(shape) > 4


def _curves(name: str, row: NDArray[np.generic]) -> Curves:
    """Draw the channels over the longer axis, all on one scale."""
    values = np.nan_to_num(row.astype(np.float64))
    values = values if values.shape[1] >= values.shape[0] else values.T
    shown = values[:_MOST_CURVES]
    low, high = float(shown.min()), float(shown.max())
    return Curves(
        name=name,
        lines=tuple(_points(line, low, high) for line in shown),
        width=_CURVE_WIDTH,
        height=_CURVE_HEIGHT,
        low=f"{low:.3g}",
        high=f"{high:.3g}",
        left_out=len(values) - len(shown),
    )


def _points(line: NDArray[np.float64], low: float, high: float) -> str:
    """Return SVG points; a long line by the least and the greatest of each stretch, so that peaks stay."""
    if len(line) > _MOST_POINTS:
        stretches = np.array_split(line, _MOST_POINTS // 2)
        line = np.array([bound for stretch in stretches for bound in (stretch.min(), stretch.max())])
    across = np.linspace(1, _CURVE_WIDTH - 1, len(line))
    down = _CURVE_HEIGHT - 2 - (line - low) / ((high - low) or 1.0) * (_CURVE_HEIGHT - 4)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))


def _cells(name: str, row: NDArray[np.generic], columns: tuple[str, ...]) -> Cells:
    """Show the first cells; of a long named row those that are not zero, as one-hot columns mostly are."""
    names = columns or tuple(f"[{place}]" for place in range(len(row)))
    places = list(range(len(row)))
    if columns and len(row) > _MOST_CELLS:
        places = [place for place in places if row[place]] or places
    shown = places[:_MOST_CELLS]
    return Cells(
        name=name, cells=tuple((names[place], f"{row[place]:.4g}") for place in shown), left_out=len(row) - len(shown)
    )
