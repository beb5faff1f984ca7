"""One body of rows, parted into those that calibrate and those that judge.

Every row comes up in one of the two at most. Rows are dealt class by class, so that any first part of a
split holds the classes in about their shares.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from optimizer.data.dataset import Dataset
from optimizer.data.rows import Rows
from optimizer.errors import DatasetError


class Order(StrEnum):
    """What the order of the rows means, and so how they are split."""

    SHUFFLED = "shuffled"
    """Nothing: rows are drawn by a seeded permutation, each class in proportion."""
    TIME = "time"
    """Time: the first rows calibrate, the last ones judge, as a model meets its future."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """How to read data that are not split into calibration and holdout already.

    Attributes:
        label: name of the label's column or array; empty: ``label``, ``target``, ``class`` or ``y``, if there is one.
        seed: of the permutation that splits the rows.
        calibration_rows: how many rows to calibrate with, at most; never more than half of all.
        holdout_share: which share of the other rows to judge by, above 0 to 1.
        order: what the order of the rows means.
        sample_rate: of sound, in samples a second, to which each clip is brought; 0: that of the files.
        transform: ``module:function`` that makes the model's row of one decoded clip or image; empty: none.
    """

    label: str = ""
    seed: int = 0
    calibration_rows: int = 500
    holdout_share: float = 1.0
    order: Order = Order.SHUFFLED
    sample_rate: int = 0
    transform: str = ""

    def __post_init__(self) -> None:
        """Refuse numbers that split nothing.

        Raises:
            DatasetError: a number is out of its range.
        """
        if self.calibration_rows < 1:
            raise DatasetError(f"calibration_rows is {self.calibration_rows}; give 1 or more")
        if not 0.0 < self.holdout_share <= 1.0:
            raise DatasetError(f"holdout_share is {self.holdout_share:g}; give a share above 0, at most 1")
        if self.sample_rate < 0:
            raise DatasetError(f"sample_rate is {self.sample_rate}; give samples a second, as in 16000")


DEFAULT_OPTIONS: Final = DataOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """All rows of some data and their label; the first ``calibration`` of them calibrate where the data say so."""

    rows: Rows
    label: NDArray[np.generic] | None = None
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    calibration: int = 0


def split_body(body: Body, options: DataOptions) -> Dataset:
    """Return the data set of these rows.

    Raises:
        DatasetError: there are fewer than two rows, or the label has another number of them.
    """
    body = with_class_indices(body)
    count = body.rows.count
    if body.label is not None and len(body.label) != count:
        raise DatasetError(f"there are {count} rows but {len(body.label)} labels; give one label for each row")
    if count < 2:
        raise DatasetError(f"there is {count} row; give at least one to calibrate with and another one to judge by")
    if body.calibration:
        calibration, holdout = np.arange(body.calibration), np.arange(body.calibration, count)
    else:
        calibration, holdout = split_places(count, body.label, options)
    return Dataset.of(
        calibration=body.rows.pick(calibration),
        holdout=body.rows.pick(holdout),
        label=None if body.label is None else body.label[holdout],
        labels=body.labels,
        columns=body.columns,
    )


def split_places(
    count: int, label: NDArray[np.generic] | None, options: DataOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places that calibrate and those that judge; none is in both."""
    first = max(1, min(options.calibration_rows, count // 2))
    kept = max(1, round((count - first) * options.holdout_share))
    if options.order is Order.TIME:
        return np.arange(first), np.arange(count - kept, count)
    order = np.random.default_rng(options.seed).permutation(count)
    if label is not None and label.ndim == 1 and np.issubdtype(label.dtype, np.integer):
        order = _dealt(order, label)
    return order[:first], order[first : first + kept]


def with_class_indices(body: Body) -> Body:
    """Return the body with text labels as indices into ``labels``, in the order of the names."""
    if body.label is None or body.label.dtype.kind not in "US":
        return body
    names, indices = np.unique(body.label, return_inverse=True)
    words = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist())
    return dataclasses.replace(body, label=indices.reshape(-1).astype(np.int64), labels=words)


def _dealt(order: NDArray[np.int64], label: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the order changed so that every part of it holds the classes in about their shares."""
    by_class = order[np.argsort(label[order], kind="stable")]
    _, starts, sizes = np.unique(label[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(starts, sizes)
    share = (rank + 0.5) / np.repeat(sizes, sizes)
    dealt: NDArray[np.int64] = by_class[np.argsort(share, kind="stable")]
    return dealt
