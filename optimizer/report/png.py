"""An image as a PNG, written with zlib alone: the report carries its pictures inline."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR = 0, 2


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of the pixels.

    Args:
        pixels: shape (height, width) for grey, (height, width, 3) for red, green and blue.
    """
    height, width = pixels.shape[:2]
    kind = _GREY if pixels.ndim == 2 else _COLOUR
    lines = np.ascontiguousarray(pixels).reshape(height, -1)
    unfiltered = np.concatenate([np.zeros((height, 1), dtype=np.uint8), lines], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(unfiltered.tobytes(), 9)), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(parts)


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """Return the pixels as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
