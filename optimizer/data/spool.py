"""Rows in a file, read by position: what is resident does not grow with the rows, as a mapped file's pages do."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from optimizer.data.rows import ArrayRows, RowForm, Rows, little_endian
from optimizer.errors import DatasetError

_LEFT_FREE_BYTES: Final = 256 * 1024 * 1024
"""What a spool leaves on the disk for others."""
_TURNED_BYTES: Final = 32 * 1024 * 1024
"""How much of a column-ordered tensor is in memory while it is turned into rows."""


class PositionedFile:
    """An open file, read by position from any thread; closed when nothing refers to it any more."""

    def __init__(self, descriptor: int, name: str, *, growing: bool = False) -> None:
        """Take over the open descriptor.

        Args:
            descriptor: of the file, open to read.
            name: what messages call the file.
            growing: it is still written to; else a change is an error.
        """
        self.name = name
        self._descriptor = descriptor
        self._growing = growing
        self._as_opened = self._state()
        self._close = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def open(cls, path: Path) -> PositionedFile:
        """Return the file, open to read.

        Raises:
            OSError: it can't be opened.
        """
        return cls(os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)), str(path))

    def read_into(self, target: NDArray[np.generic], offset: int) -> None:
        """Fill the contiguous array with the bytes that begin at the offset.

        Raises:
            DatasetError: the file ends before the array is full, or has changed since it was opened.
        """
        if not self._growing and self._state() != self._as_opened:
            raise DatasetError(f"{self.name} changed while it was in use; leave it as it is until the work is done")
        left = target.view(np.uint8).reshape(-1).data
        while left:
            try:
                got = os.preadv(self._descriptor, [left], offset)
            except OSError as error:
                raise DatasetError(f"cannot read {self.name}: {error.strerror}; copy it to a sound disk") from error
            if not got:
                raise DatasetError(f"{self.name} ends at byte {offset}; it is cut short: write it again")
            left, offset = left[got:], offset + got

    def _state(self) -> tuple[int, int]:
        state = os.fstat(self._descriptor)
        return state.st_size, state.st_mtime_ns


class FileTensor:
    """A tensor in a file, one row after the other from an offset; indexed by places it reads just those rows."""

    def __init__(self, file: PositionedFile, offset: int, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
        """Stand for the tensor; nothing is read."""
        self._file = file
        self._offset = offset
        self.dtype = dtype
        self.shape = shape

    def __getitem__(self, places: NDArray[np.int64], /) -> NDArray[np.generic]:
        """Return those rows, in that order; neighbours are read at once."""
        found = np.empty((len(places), *self.shape[1:]), self.dtype)
        row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        for start, stop in _runs(places) if row_bytes else ():
            self._file.read_into(found[start:stop], self._offset + int(places[start]) * row_bytes)
        return found


class Spool:
    """A file without a name in the temporary folder, written once from front to back, then read by position."""

    def __init__(self) -> None:
        """Open the file; it is gone from the disk when nothing refers to it any more.

        Raises:
            DatasetError: there is no temporary folder that can be written.
        """
        try:
            descriptor, path = tempfile.mkstemp(prefix="edgeship-rows-")
            Path(path).unlink()
        except OSError as error:
            raise DatasetError(_no_room(error.strerror or str(error))) from error
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        self.size_bytes = 0

    def reserve(self, size_bytes: int) -> None:
        """Make sure that so many bytes more have room.

        Raises:
            DatasetError: they have not.
        """
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if size_bytes + _LEFT_FREE_BYTES > free:
            raise DatasetError(_no_room(f"{size_bytes} bytes do not fit in the {free} that are free"))

    def append(self, data: bytes | memoryview) -> None:
        """Write the bytes behind those that are there.

        Raises:
            DatasetError: the disk is full.
        """
        self.write(data, self.size_bytes)
        self.size_bytes += len(data)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write the bytes from the offset on.

        Raises:
            DatasetError: the disk is full.
        """
        self.reserve(len(data))
        left = memoryview(data)
        while left:
            try:
                done = os.pwrite(self._descriptor, left, offset)
            except OSError as error:
                raise DatasetError(_no_room(error.strerror or str(error))) from error
            left, offset = left[done:], offset + done

    def extend(self, rows: NDArray[np.generic]) -> None:
        """Write the rows behind those that are there.

        Raises:
            DatasetError: the disk is full.
        """
        self.append(little_endian(rows).view(np.uint8).reshape(-1).data)

    def read(self, what: str, *, growing: bool = False) -> PositionedFile:
        """Return what was written, to read; messages call it ``what``."""
        return PositionedFile(os.dup(self._descriptor), what, growing=growing)

    def tensor(self, what: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> FileTensor:
        """Return what was written as one tensor."""
        return FileTensor(self.read(what), 0, dtype.newbyteorder("<"), shape)


class SpooledRows:
    """Rows that come batch by batch and are kept in spools, one for each tensor."""

    def __init__(self, what: str, forms: Mapping[str, RowForm]) -> None:
        """Begin without a row; messages call the data ``what``."""
        self.forms = forms
        self._what = what
        self._spools = {name: Spool() for name in forms}
        self.count = 0

    def extend(self, batch: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep the rows, which are of the forms.

        Raises:
            DatasetError: the disk is full.
        """
        for name, spool in self._spools.items():
            spool.extend(batch[name])
        self.count += len(next(iter(batch.values())))

    def rows(self) -> Rows:
        """Return what was kept.

        Raises:
            DatasetError: nothing was.
        """
        if not self.count:
            raise DatasetError(f"{self._what} has no rows; give at least two")
        return ArrayRows(
            {
                name: self._spools[name].tensor(self._what, form.dtype, (self.count, *form.shape))
                for name, form in self.forms.items()
            }
        )


class RowCache:
    """Rows of one tensor that were made once and need not be made again; on disk, while there is room."""

    def __init__(self, what: str, count: int, form: RowForm) -> None:
        """Begin without a row; messages call the rows ``what``."""
        self._spool = Spool()
        self._tensor = FileTensor(self._spool.read(what, growing=True), 0, form.dtype, (count, *form.shape))
        self._held = np.zeros(count, dtype=np.bool_)
        self._row_bytes = form.row_bytes

    def get(self, place: int) -> NDArray[np.generic] | None:
        """Return the row at the place, or None where it is not held."""
        return self._tensor[np.array([place])][0] if self._held[place] else None

    def put(self, place: int, row: NDArray[np.generic]) -> None:
        """Hold the row, unless the disk has no room for it."""
        try:
            self._spool.write(np.ascontiguousarray(row).view(np.uint8).reshape(-1).data, place * self._row_bytes)
        except DatasetError:
            return  # it is made again when it is asked for again
        self._held[place] = True


def turned(file: PositionedFile, offset: int, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> FileTensor:
    """Return a tensor that lies in the file column by column (Fortran order) as one that lies row by row, spooled."""
    spool = Spool()
    columns, count = math.prod(shape[1:]), shape[0]
    spool.reserve(count * columns * dtype.itemsize)
    size = max(1, _TURNED_BYTES // max(1, columns * dtype.itemsize))
    for start in range(0, count, size):
        rows = min(size, count - start)
        part = np.empty((columns, rows), dtype)
        for column in range(columns):
            file.read_into(part[column], offset + (column * count + start) * dtype.itemsize)
        spool.extend(part.T.reshape((rows, *shape[1:]), order="F"))
    return spool.tensor(file.name, dtype, shape)


def _runs(places: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of places that follow one another."""
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    yield from zip([0, *breaks.tolist()], [*breaks.tolist(), len(places)], strict=True) if len(places) else ()


def _no_room(reason: str) -> str:
    return f"cannot keep rows in the temporary folder {tempfile.gettempdir()}: {reason}; name one with room in TMPDIR"
