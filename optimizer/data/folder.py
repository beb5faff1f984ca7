"""A folder of files, each of which is one row: which they are, in which class, and rows made of them one by one.

Class subfolders give the label, their sorted names the classes; files that lie side by side have none.
Subfolders ``calibration`` and ``holdout``, each in either form, are kept as the split. Hidden files are passed over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.ids import Digest
from optimizer.data.dataset import SPLITS
from optimizer.data.rows import RowForm, Rows
from optimizer.data.splits import Body
from optimizer.data.spool import RowCache
from optimizer.errors import DatasetError

_LITTER: Final = frozenset({"thumbs.db", "desktop.ini"})
_SHOWN: Final = 3


class Unreadable(Exception):
    """One file gives no row; the message is the reason in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a folder, relative to it; the first ``calibration`` of them where the folder says so.

    ``label`` is the place in ``labels`` of each file's class.
    """

    root: Path
    files: tuple[str, ...]
    label: NDArray[np.int64] | None
    labels: tuple[str, ...]
    calibration: int

    def suffixes(self) -> dict[str, str]:
        """Return each kind of file by its lower-case suffix, with one that has it."""
        return {Path(file).suffix.lower(): file for file in reversed(self.files)}

    def body(self, rows: Rows) -> Body:
        """Return the rows that were made of the files, with their label."""
        return Body(rows=rows, label=self.label, labels=self.labels, calibration=self.calibration)


def list_folder(root: Path) -> Listing:
    """Return the files of the folder in the order of their names.

    Raises:
        DatasetError: it has none, can't be read, or holds files beside class subfolders.
    """
    try:
        folders, _ = _entries(root)
        parts = SPLITS if set(SPLITS) <= set(folders) else ("",)
        found = [list(_classes(root, part)) for part in parts]
    except OSError as error:
        raise DatasetError(f"cannot be listed: {error.strerror or error}; give a folder that can be read") from error
    if not all(found):
        raise DatasetError("has no file to make a row of; put files into it, or into one subfolder for each class")
    labels = tuple(sorted({name for listed in found for name, _ in listed if name}))
    rank = {name: place for place, name in enumerate(labels)}
    if labels and any(not name for listed in found for name, _ in listed):
        raise DatasetError("has class subfolders in one of calibration and holdout only; put classes into both")
    return Listing(
        root=root,
        files=tuple(file for listed in found for _, file in listed),
        label=np.array([rank[name] for listed in found for name, _ in listed], dtype=np.int64) if labels else None,
        labels=labels,
        calibration=len(found[0]) if len(found) > 1 else 0,
    )


class DecodedRows(Rows):
    """One row for each file, decoded when it is asked for and kept on disk for the next time.

    Its digest is over the files' bytes and how they are decoded: it takes no decoding.
    """

    def __init__(self, files: DecodedFiles, places: NDArray[np.int64]) -> None:
        """Stand for the files at those places, in that order."""
        self._files = files
        self._places = places

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self._places)

    @property
    def forms(self) -> Mapping[str, RowForm]:
        """What the one tensor's rows look like."""
        return {self._files.tensor: RowForm(dtype=np.dtype("<f4"), shape=self._files.kept.shape)}

    def take(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return the rows at those places, float32."""
        rows = np.empty((len(places), *self._files.kept.shape), dtype=np.float32)
        for target, place in enumerate(self._places[places].tolist()):
            rows[target] = self._files.row(place)
        return {self._files.tensor: rows}

    def pick(self, places: NDArray[np.int64]) -> Rows:
        """Return just the files at those places, in that order."""
        return DecodedRows(self._files, self._places[places])

    @cached_property
    def digest(self) -> Digest:
        """The SHA-256 over the files' bytes in order, and how they are decoded."""
        return self._files.digest(self._places)


class DecodedFiles:
    """The files of a listing and how each becomes a row; shared by the rows of both splits."""

    def __init__(
        self, listing: Listing, *, tensor: str, kept: RowForm, decode: Callable[[Path], NDArray[np.generic]], how: str
    ) -> None:
        """Decode nothing yet.

        Args:
            listing: the files.
            tensor: the model's input.
            kept: what ``decode`` returns.
            decode: makes a row of a file, or raises Unreadable.
            how: all that the rows depend on besides the files' bytes.
        """
        self.tensor = tensor
        self.kept = kept
        self._listing = listing
        self._decode = decode
        self._how = how
        self._cache = RowCache(str(listing.root), len(listing.files), kept)

    def rows(self) -> Rows:
        """Return a row for each file, in the order of the listing."""
        return DecodedRows(self, np.arange(len(self._listing.files)))

    def row(self, place: int) -> NDArray[np.generic]:
        """Return the row of the file at the place.

        Raises:
            DatasetError: the file gives none; all files are then looked at, and all such named or counted.
        """
        row = self._cache.get(place)
        if row is None:
            try:
                row = self._made(place)
            except Unreadable as error:
                raise DatasetError(self._all_unreadable()) from error
            self._cache.put(place, row)
        return row

    def digest(self, places: NDArray[np.int64]) -> Digest:
        """Return the SHA-256 over the bytes of the files at those places, and how they are decoded."""
        total = hashlib.sha256(f"{self.tensor}|{self.kept.shape}|{self._how}|".encode())
        for place in places.tolist():
            path = self._listing.root / self._listing.files[place]
            try:
                with path.open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise DatasetError(f"cannot read {path}: {error.strerror or error}; make it readable") from error
        return Digest(total.hexdigest())

    def _made(self, place: int) -> NDArray[np.generic]:
        file = self._listing.files[place]
        try:
            row = self._decode(self._listing.root / file)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from error
        except DatasetError as error:
            raise DatasetError(f"{file}: {error}") from error
        if row.shape != self.kept.shape:
            raise Unreadable(f"gives a row of shape {row.shape}, the model takes {self.kept.shape}")
        return row

    def _all_unreadable(self) -> str:
        return f"{self._listing.root}: {unreadable_files(self._listing.files, self._reasons())}"

    def _reasons(self) -> Iterator[tuple[str, str]]:
        for place, file in enumerate(self._listing.files):
            if self._cache.get(place) is None:
                try:
                    self._made(place)
                except Unreadable as error:
                    yield file, str(error)


def unreadable_files(files: tuple[str, ...], reasons: Iterable[tuple[str, str]]) -> str:
    """Return the sentence that names the file and its reason, or says how many they are and names three."""
    found = list(reasons)
    shown = "; ".join(f"{file}: {reason}" for file, reason in found[:_SHOWN])
    if len(found) == 1:
        return f"{shown}; mend the file or remove it"
    return (
        f"{len(found)} of {len(files)} files give no row ({shown}{'; ...' if len(found) > _SHOWN else ''}); remove them"
    )


def _classes(root: Path, part: str) -> Iterator[tuple[str, str]]:
    """Yield the class (empty without) and the path below the root of each file of that part of it."""
    folders, files = _entries(root / part)
    if folders and files:
        raise DatasetError(
            f"holds files ({files[0]}) beside class subfolders ({folders[0]}); put every file into a class, or none"
        )
    for name in folders:
        yield from ((name, file) for file in _below(root, _joined(part, name)))
    yield from (("", _joined(part, name)) for name in files)


def _below(root: Path, part: str) -> Iterator[str]:
    folders, files = _entries(root / part)
    yield from (_joined(part, name) for name in files)
    for name in folders:
        yield from _below(root, _joined(part, name))


def _joined(part: str, name: str) -> str:
    return f"{part}/{name}" if part else name


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Return the sorted names of the folders and of the files, hidden ones apart; links to folders are not followed."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _LITTER:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.is_file():
                files.append(entry.name)
    return sorted(folders), sorted(files)
