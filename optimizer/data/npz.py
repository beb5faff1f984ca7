"""Arrays of a ``.npz`` file without loading them: stored members are read in place, compressed ones are unpacked once.

What each member claims is compared with what it holds when the file is opened; its checksum when its first row is
asked for. What stays in memory is a place in a file.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from optimizer.data.spool import FileTensor, PositionedFile, Spool, turned
from optimizer.errors import DatasetError

_ADVICE: Final = "write plain arrays with numpy.savez"
_HEAD_BYTES: Final = 64 * 1024
"""No header is longer: numpy refuses one of more than 10,000 characters."""
_CHUNK_BYTES: Final = 1024 * 1024
_LOCAL_HEADER_BYTES: Final = 30
"""Of a zip member before its name and its extra field; the lengths of those are its last four bytes."""
_ENCRYPTED: Final = 0x1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What a member says of its array, and how long it takes to say it."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    by_columns: bool
    size_bytes: int


class NpzTensor:
    """One array of the file; its rows are read when they are asked for."""

    def __init__(self, path: Path, file: PositionedFile, info: zipfile.ZipInfo, header: _Header) -> None:
        """Stand for the array; nothing is read."""
        self.shape = header.shape
        self.dtype = header.dtype
        self._path = path
        self._file = file
        self._info = info
        self._header = header

    def __getitem__(self, places: NDArray[np.int64], /) -> NDArray[np.generic]:
        """Return those rows, in that order.

        Raises:
            DatasetError: the member is damaged.
        """
        return self._rows[places]

    @cached_property
    def _rows(self) -> FileTensor:
        """The array's rows in a file, once the member was read through and its checksum compared."""
        header, info = self._header, self._info
        with _one_line(self._path), zipfile.ZipFile(self._path) as archive, archive.open(info) as member:
            member.read(header.size_bytes)
            if info.compress_type == zipfile.ZIP_STORED:
                while member.read(_CHUNK_BYTES):  # zipfile compares the checksum at the end
                    pass
                held, offset = self._file, _data_offset(self._file, info) + header.size_bytes
            else:
                held, offset = _unpacked(member, info.file_size - header.size_bytes, self._file.name), 0
        if header.by_columns:
            return turned(held, offset, header.dtype, header.shape)
        return FileTensor(held, offset, header.dtype, header.shape)


def open_npz(path: Path) -> dict[str, NpzTensor]:
    """Return the arrays of the file by name; nothing but places is in memory.

    Raises:
        DatasetError: missing, no ``.npz`` file, cut short, pickled, or an array is not what its header claims.
    """
    with _one_line(path):
        if path.exists() and not path.is_file():
            raise DatasetError("is no file; give the path of a .npz file")
        file = PositionedFile.open(path)
        with zipfile.ZipFile(path) as archive:
            return {
                info.filename.removesuffix(".npy"): NpzTensor(path, file, info, _header(archive, info))
                for info in archive.infolist()
                if info.filename and not info.is_dir()  # zipfile looks at the last character of a name
            }


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn what reading a zip file raises into one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError("does not exist; give the path of a .npz file") from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}; give a .npz file") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError) as error:
        if _is_one_array(path):
            raise DatasetError(f"holds one array, not named ones; {_ADVICE}") from error
        raise DatasetError(f"is no plain .npz file ({str(error)[:120] or 'cut short'}); {_ADVICE}") from error


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    """Return what the member says of its array, once it is known to be true of its size."""
    name = info.filename.removesuffix(".npy")
    if info.flag_bits & _ENCRYPTED:
        raise DatasetError(f"array {name} is encrypted; {_ADVICE}")
    with archive.open(info) as member:
        head = io.BytesIO(member.read(_HEAD_BYTES))
    try:
        version = npy.read_magic(head)
        if version not in ((1, 0), (2, 0)):
            raise DatasetError(f"array {name} is of version {version[0]}.{version[1]}, which is not read; {_ADVICE}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(head)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"is no plain .npz file (array {name}: {str(error)[:120]}); {_ADVICE}") from error
    if dtype.hasobject:
        raise DatasetError(f"array {name} holds pickled objects, which are never opened; {_ADVICE}")
    claimed, held = dtype.itemsize * math.prod(shape), info.file_size - head.tell()
    if claimed != held or any(size < 0 for size in shape):
        raise DatasetError(
            f"array {name} claims {dtype} {shape}, which is {claimed} bytes, but holds {held}; write the file again"
        )
    return _Header(dtype=dtype, shape=shape, by_columns=by_columns and len(shape) > 1, size_bytes=head.tell())


def _data_offset(file: PositionedFile, info: zipfile.ZipInfo) -> int:
    """Return where in the file the member's bytes begin."""
    local = np.empty(_LOCAL_HEADER_BYTES, np.uint8)
    file.read_into(local, info.header_offset)
    name_bytes, extra_bytes = struct.unpack("<HH", local[-4:].tobytes())
    return info.header_offset + _LOCAL_HEADER_BYTES + int(name_bytes) + int(extra_bytes)


def _unpacked(member: IO[bytes], size_bytes: int, name: str) -> PositionedFile:
    """Return the rest of the member in a file of its own."""
    spool = Spool()
    spool.reserve(size_bytes)
    while chunk := member.read(_CHUNK_BYTES):
        spool.append(chunk)
    if spool.size_bytes != size_bytes:
        raise DatasetError(f"is cut short: {spool.size_bytes} of {size_bytes} bytes are there; write the file again")
    return spool.read(name)


def _is_one_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX
