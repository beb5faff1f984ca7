"""What a table's columns are to a model, whatever file it comes in; and rows filled from it, batch by batch.

Every column but the label is one element of the input, in order. A model of several inputs takes its columns by
their names, ``TENSOR.COLUMN``. What is no number, or is missing, is refused with its line and column; nothing is
filled in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.preprocessing import DTYPES
from contracts.tensors import TensorSpec
from optimizer.data.labels import LabelColumn, find_label
from optimizer.data.rows import RowForm
from optimizer.data.splits import Body
from optimizer.data.spool import SpooledRows
from optimizer.errors import DatasetError

BATCH_ROWS: Final = 512
"""How many rows of a table are in memory at once."""
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns, by place, make up which input, and which one is the label (-1: none)."""

    names: tuple[str, ...]
    inputs: tuple[tuple[TensorSpec, tuple[int, ...]], ...]
    label: int

    @property
    def of_elements(self) -> tuple[str, ...]:
        """The names of the elements of a row, where there is one input."""
        return tuple(self.names[place] for place in self.inputs[0][1]) if len(self.inputs) == 1 else ()


def columns_of(header: Sequence[str], inputs: tuple[TensorSpec, ...], label: str) -> Columns:
    """Return what each column of the header is.

    Raises:
        DatasetError: names repeat, the label is not there, or the others are not the elements of the inputs.
    """
    names = tuple(name.strip() for name in header)
    if not all(names) or not names:
        place = names.index("") + 1 if names else 1
        raise DatasetError(f"column {place} has no name in the header; name each column, and leave an index out")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DatasetError(f"has {_listed(twice)} more than once in its header; name each column once")
    found = find_label(names, label)
    others = [place for place, name in enumerate(names) if name != found]
    taken = [(spec, _columns_for(spec, names, others, alone=len(inputs) == 1)) for spec in inputs]
    left = sorted(set(others) - {place for _, places in taken for place in places})
    besides = f" besides the label {found!r}" if found else ""
    for spec, places in taken:
        if len(places) != spec.elements_per_row:
            raise DatasetError(
                f"has {len(places)} columns for {spec.name!r}{besides}, which takes {spec.elements_per_row} elements a "
                f"row; it has {_listed(names)}: give one column for each element, and say which is the label"
            )
    if left:
        raise DatasetError(
            f"has columns that belong to no input: {_listed([names[place] for place in left])}; take them out, or name "
            "them TENSOR.COLUMN"
        )
    return Columns(names=names, inputs=tuple(taken), label=names.index(found) if found else -1)


class Filling:
    """Rows of a table on their way into a spool."""

    def __init__(self, columns: Columns) -> None:
        """Begin without a row."""
        forms = {spec.name: RowForm(dtype=element_of(spec), shape=spec.shape[1:]) for spec, _ in columns.inputs}
        self.columns = columns
        self.labels = LabelColumn()
        self._spool = SpooledRows("the table", forms)

    def extend(self, values: dict[str, NDArray[np.generic]]) -> None:
        """Keep the rows: shape (n, elements) by input."""
        shapes = {spec.name: spec.shape[1:] for spec, _ in self.columns.inputs}
        self._spool.extend({name: array.reshape(-1, *shapes[name]) for name, array in values.items()})

    def body(self) -> Body:
        """Return what was kept.

        Raises:
            DatasetError: there was no row.
        """
        label, labels = self.labels.result() if self.columns.label >= 0 else (None, ())
        return Body(rows=self._spool.rows(), label=label, labels=labels, columns=self.columns.of_elements)


def element_of(spec: TensorSpec) -> np.dtype[np.generic]:
    """Return the type of an input's real values: float32, or whole numbers where the model takes those."""
    if spec.quantization is not None or spec.element.is_float:
        return np.dtype("<f4")
    return DTYPES[spec.element]


def is_whole(spec: TensorSpec) -> bool:
    """Return whether the input takes whole numbers (token ids, classes)."""
    return element_of(spec).kind != "f"


def fitted(spec: TensorSpec, values: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Return the values in the input's type, and which of them it can't hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(element_of(spec))
    return cast, (cast != values) if is_whole(spec) else ~np.isfinite(cast)


def _columns_for(spec: TensorSpec, names: tuple[str, ...], others: list[int], *, alone: bool) -> tuple[int, ...]:
    named = tuple(place for place in others if names[place].startswith(f"{spec.name}."))
    if len(named) == spec.elements_per_row or not alone:
        return named
    return tuple(others)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
