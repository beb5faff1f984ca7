"""Bytes coded against other bytes, whatever they mean: zstd with the base as its prefix, and without one."""

from __future__ import annotations

import sys
from typing import Final

from contracts.errors import DeltaError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL: Final = 19
_LEAST_WINDOW_LOG: Final = 10
_WINDOW_LOG_CAP: Final = 27
"""128 MiB: more is neither made nor accepted."""


def packed(data: bytes, base: bytes) -> bytes:
    """Return the frame of the data; what repeats the base costs next to nothing."""
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: LEVEL,
        parameter.window_log: _window_log(len(base) + len(data)),
        parameter.enable_long_distance_matching: 1,
        parameter.content_size_flag: 0,
        parameter.checksum_flag: 0,
    }
    return zstd.compress(data, options=options, zstd_dict=_prefix(base))


def unpacked(frame: bytes, base: bytes, *, length: int) -> bytes:
    """Return the data, exactly ``length`` bytes.

    Raises:
        DeltaError: the frame is damaged, asks for too large a window, or holds more or fewer bytes.
    """
    limit: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _window_log(len(base) + length)}
    reader = zstd.ZstdDecompressor(zstd_dict=_prefix(base), options=limit)
    try:
        data = reader.decompress(frame, max_length=length + 1)
    except (zstd.ZstdError, MemoryError) as error:
        raise DeltaError(f"a compressed part cannot be read: {error}; fetch the whole artifact") from error
    if len(data) != length or not reader.eof or reader.unused_data:
        raise DeltaError(f"a compressed part does not hold the {length} bytes wanted; fetch the whole artifact")
    return data


def _prefix(base: bytes) -> tuple[zstd.ZstdDict, int] | None:
    return zstd.ZstdDict(base, is_raw=True).as_prefix if len(base) >= 8 else None


def _window_log(reach: int) -> int:
    return max(_LEAST_WINDOW_LOG, min(_WINDOW_LOG_CAP, reach.bit_length()))
