"""A column of labels, collected one by one: class indices, quantities, or names that become indices."""

from __future__ import annotations

import math
from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import DatasetError

LABEL_NAMES: Final = ("label", "target", "class", "y")
"""What a label is called where the user does not say: the first of these that is there."""
_MISSING: Final = "a label is missing; fill it in, or leave the row out"


def find_label(names: tuple[str, ...], wanted: str) -> str:
    """Return the name of the label among the names; empty where there is none.

    Raises:
        DatasetError: the wanted one is not there.
    """
    if wanted and wanted not in names:
        raise DatasetError(f"has no label {wanted!r}; it has {', '.join(names[:12])}")
    return wanted or next((name for name in LABEL_NAMES if name in names), "")


def parse_label(text: str) -> int | float | str:
    """Return a cell of a table as a whole number, else as a number, else as it is.

    >>> parse_label("3"), parse_label("0.5"), parse_label("cat")
    (3, 0.5, 'cat')
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class LabelColumn:
    """Collects labels of one kind; eight bytes are kept for each."""

    def __init__(self) -> None:
        self._whole = array("q")
        self._real = array("d")
        self._places: dict[str, int] = {}
        self._given: list[NDArray[np.generic]] = []

    def add(self, label: object) -> None:
        """Take the next row's label.

        Raises:
            DatasetError: it is missing, or of another kind than those before it.
        """
        if isinstance(label, np.ndarray) and label.ndim:
            self._given.append(label)
            return
        value = label.item() if isinstance(label, np.generic | np.ndarray) else label
        if isinstance(value, str):
            self._add_name(value)
        elif isinstance(value, float):
            self._add_quantity(value)
        elif isinstance(value, int):
            self._add_whole(int(value))
        elif value is None:
            raise DatasetError(_MISSING)
        else:
            raise DatasetError(f"a label is {type(value).__name__}; give a number, a name or an array")

    def result(self) -> tuple[NDArray[np.generic], tuple[str, ...]]:
        """Return the labels in order, and the sorted names where they are names."""
        if self._given:
            return np.stack(self._given), ()
        if self._real:
            return np.array(self._real, dtype=np.float64), ()
        indices = np.array(self._whole, dtype=np.int64)
        if not self._places:
            return indices, ()
        names = sorted(self._places)
        rank = {name: place for place, name in enumerate(names)}
        return np.array([rank[name] for name in self._places], dtype=np.int64)[indices], tuple(names)

    def _add_name(self, name: str) -> None:
        if not name.strip():
            raise DatasetError(_MISSING)
        if self._real or (self._whole and not self._places):
            raise DatasetError(f"labels are numbers, but one is {name!r}; give all of one kind")
        self._whole.append(self._places.setdefault(name, len(self._places)))

    def _add_quantity(self, value: float) -> None:
        self._refuse_names(value)
        if not math.isfinite(value):
            raise DatasetError(f"a label is {value}; give finite numbers, or leave the row out")
        if self._whole:
            self._real, self._whole = array("d", self._whole), array("q")
        self._real.append(value)

    def _add_whole(self, value: int) -> None:
        self._refuse_names(value)
        try:
            if self._real:
                self._real.append(float(value))
            else:
                self._whole.append(value)
        except OverflowError as error:
            raise DatasetError(
                f"a label is {value}, which is out of range; give class indices, or quantities as floats"
            ) from error

    def _refuse_names(self, value: float) -> None:
        if self._places:
            raise DatasetError(f"labels are names, but one is {value}; give all of one kind")
