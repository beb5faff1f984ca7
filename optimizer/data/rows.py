"""Rows of several tensors, read when they are asked for: memory does not grow with their number.

What holds for every kind is in ``tests/conformance/rows_laws.py``. A new kind says ``count``, ``forms``
and ``take``; the rest follows from those.

>>> rows = ArrayRows({"x": np.arange(6, dtype=np.float32).reshape(3, 2)})
>>> rows.take(np.array([2, 0]))["x"].tolist()
[[4.0, 5.0], [0.0, 1.0]]
"""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.ids import Digest
from optimizer.errors import DatasetError

_STREAMED_BYTES: Final = 1024 * 1024
"""How much of the rows is in memory at once while all of them are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowForm:
    """One tensor's element type and the shape of one row of it."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """How many bytes one row takes."""
        return self.dtype.itemsize * math.prod(self.shape)


class Tensor(Protocol):
    """What can be a tensor of rows: an array, or something in a file that is indexed as one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, the number of rows first."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of one element."""
        ...

    def __getitem__(self, places: NDArray[np.int64], /) -> NDArray[np.generic]:
        """Return those rows, in that order."""
        ...


class Rows(Protocol):
    """Rows of named tensors. Never write into the arrays that come out."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many rows there are."""

    @property
    @abstractmethod
    def forms(self) -> Mapping[str, RowForm]:
        """What each tensor's rows look like; known without reading any."""

    @abstractmethod
    def take(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return the rows at those places (0 to count - 1, any order, repeats too); reads no other.

        Raises:
            DatasetError: a row cannot be read.
        """

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tensors."""
        return tuple(self.forms)

    @property
    def digest(self) -> Digest:
        """The SHA-256 over names, types, shapes and little-endian values; reads every row once."""
        return digest_of_values(self)

    def batches(self, size: int) -> Iterator[dict[str, NDArray[np.generic]]]:
        """Yield all rows in order, ``size`` at a time; the last batch may be smaller.

        Raises:
            DatasetError: a row cannot be read.
        """
        for start in range(0, self.count, size):
            yield self.take(np.arange(start, min(start + size, self.count)))

    def pick(self, places: NDArray[np.int64]) -> Rows:
        """Return just the rows at those places, in that order; none is read now."""
        return Picked(self, places)

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """Return the whole tensor, shape (count, ...): for data that fit in memory."""
        if name not in self.forms:
            raise KeyError(name)
        return self.take(np.arange(self.count))[name]


class ArrayRows(Rows):
    """Rows of tensors that are held together: arrays in memory, or tensors in a file."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Hold the tensors.

        Raises:
            DatasetError: there is none, or they have different numbers of rows, or none.
        """
        counts = {name: tensor.shape[0] if tensor.shape else 0 for name, tensor in tensors.items()}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise DatasetError(f"tensors need one number of rows, and at least one row; got {listed or 'no tensor'}")
        self._tensors = dict(tensors)
        self._count = next(iter(counts.values()))

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._count

    @cached_property
    def forms(self) -> Mapping[str, RowForm]:
        """What each tensor's rows look like."""
        return {
            name: RowForm(dtype=tensor.dtype, shape=tuple(tensor.shape[1:])) for name, tensor in self._tensors.items()
        }

    def take(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return the rows at those places."""
        return {name: tensor[places] for name, tensor in self._tensors.items()}

    @cached_property
    def digest(self) -> Digest:
        """The SHA-256 over names, types, shapes and little-endian values."""
        return digest_of_values(self)

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """Return the whole tensor; an array that is held is that array."""
        tensor = self._tensors[name]
        return tensor if isinstance(tensor, np.ndarray) else tensor[np.arange(self._count)]


class Picked(Rows):
    """Some rows of others, in an order of their own: a split of one body of data."""

    def __init__(self, rows: Rows, places: NDArray[np.int64]) -> None:
        """Stand for the rows at those places, in that order."""
        self._rows = rows
        self._places = places

    @property
    def count(self) -> int:
        """How many rows were picked."""
        return len(self._places)

    @property
    def forms(self) -> Mapping[str, RowForm]:
        """What each tensor's rows look like."""
        return self._rows.forms

    def take(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return the rows at those places among the picked."""
        return self._rows.take(self._places[places])

    @cached_property
    def digest(self) -> Digest:
        """The SHA-256 over names, types, shapes and little-endian values of the picked rows."""
        return digest_of_values(self)


def as_rows(rows: Rows | Mapping[str, NDArray[np.generic]]) -> Rows:
    """Return the rows, arrays wrapped.

    Raises:
        DatasetError: the arrays have different numbers of rows, or none.
    """
    return ArrayRows(rows) if isinstance(rows, Mapping) else rows


def streaming_size(rows: Rows) -> int:
    """Return how many rows to read at once where all are looked at one after the other."""
    return max(1, _STREAMED_BYTES // max(1, sum(form.row_bytes for form in rows.forms.values())))


def digest_of_values(rows: Rows) -> Digest:
    """Return the SHA-256 over names, types, shapes and little-endian values, read batch by batch."""
    values = {name: hashlib.sha256() for name in rows.names}
    for batch in rows.batches(streaming_size(rows)):
        for name, array in batch.items():
            values[name].update(little_endian(array).tobytes())
    total = hashlib.sha256()
    for name in sorted(values):
        form = rows.forms[name]
        kind = form.dtype.newbyteorder("<").str
        total.update(f"{name}|{kind}|{(rows.count, *form.shape)}|{values[name].hexdigest()}|".encode())
    return Digest(total.hexdigest())


def little_endian(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the values in the byte order that digests are taken over, on any machine."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
