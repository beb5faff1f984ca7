"""The user's data: rows to calibrate with and rows to judge by, as clients will send them.

A ``.npz`` file with one array for each split and tensor:

    calibration/TENSOR   rows to calibrate with
    holdout/TENSOR       rows to judge by; never used for calibration
    holdout/label        class index (integers) or target (floats) of each holdout row; optional
    labels               names of the classes; optional
    columns              names of the elements of a row, for a table; optional

Other splits are passed over (``train/...``). Values are raw: preprocessing steps come after.
``source.open_dataset`` opens the other forms that data come in.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.ids import Digest
from contracts.tensors import TensorSpec
from optimizer.data.npz import open_npz
from optimizer.data.rows import ArrayRows, RowForm, Rows, Tensor, as_rows, little_endian, streaming_size
from optimizer.errors import DatasetError

LABEL: Final = "label"
SPLITS: Final = ("calibration", "holdout")
_FORM: Final = "write calibration/TENSOR and holdout/TENSOR (and holdout/label) with numpy.savez"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Rows to calibrate with and rows to judge by; ``label`` has one entry for each holdout row.

    ``digest`` is over content and split: both kinds of rows, the label and the words.
    """

    calibration: Rows
    holdout: Rows
    label: NDArray[np.generic] | None
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    digest: Digest

    @classmethod
    def of(
        cls,
        *,
        calibration: Rows | Mapping[str, NDArray[np.generic]],
        holdout: Rows | Mapping[str, NDArray[np.generic]],
        label: NDArray[np.generic] | None = None,
        labels: tuple[str, ...] = (),
        columns: tuple[str, ...] = (),
    ) -> Dataset:
        """Return the data set of these rows; arrays, shape (n, ...), are taken as they are.

        Raises:
            DatasetError: a split is empty, its tensors have different numbers of rows, or rows can't be read.
        """
        splits = {"calibration": calibration, "holdout": holdout}
        for split, rows in splits.items():
            _check_counts(split, rows, label if split == "holdout" else None)
        first, second = as_rows(calibration), as_rows(holdout)
        words = (*labels, "", *columns)
        digest = hashlib.sha256(f"{first.digest}|{second.digest}|{'|'.join(words)}|".encode())
        if label is not None:
            digest.update(f"{label.dtype.newbyteorder('<').str}|{label.shape}|".encode())
            digest.update(little_endian(label).tobytes())
        return cls(
            calibration=first,
            holdout=second,
            label=label,
            labels=labels,
            columns=columns,
            digest=Digest(digest.hexdigest()),
        )

    @classmethod
    def load(cls, path: Path | str) -> Dataset:
        """Return the data set in the ``.npz`` file.

        Raises:
            DatasetError: missing, no ``.npz`` file, cut short, pickled, or without a split.
        """
        try:
            return dataset_of_splits(open_npz(Path(path)))
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from error


def dataset_of_splits(tensors: Mapping[str, Tensor]) -> Dataset:
    """Return the data set of tensors named ``calibration/TENSOR``, ``holdout/TENSOR``, ``holdout/label``.

    Raises:
        DatasetError: a split is missing or empty, or its tensors have different numbers of rows.
    """
    splits: dict[str, dict[str, Tensor]] = {split: {} for split in SPLITS}
    for key, values in tensors.items():
        split, slash, name = key.partition("/")
        if slash and split in splits:
            splits[split][name] = values
    for split, found in splits.items():
        if not set(found) - {LABEL}:
            raise DatasetError(f"has no {split}/TENSOR array (it has {', '.join(tensors) or 'none'}); {_FORM}")
    label = splits["holdout"].pop(LABEL, None)
    splits["calibration"].pop(LABEL, None)
    for split, found in splits.items():
        _check_counts(split, found, label if split == "holdout" else None)
    return Dataset.of(
        calibration=ArrayRows(splits["calibration"]),
        holdout=ArrayRows(splits["holdout"]),
        label=None if label is None else whole(label),
        labels=words_of(tensors, "labels"),
        columns=words_of(tensors, "columns"),
    )


def words_of(tensors: Mapping[str, Tensor], key: str) -> tuple[str, ...]:
    """Return the names that are listed under the key, or none."""
    found = tensors.get(key)
    return () if found is None else tuple(str(name) for name in whole(found).reshape(-1))


def whole(tensor: Tensor) -> NDArray[np.generic]:
    """Return all of a tensor that is small: a label, a list of names."""
    return tensor[np.arange(tensor.shape[0])] if tensor.shape else np.empty(0)


def misfits(
    split: str, rows: Rows | Mapping[str, NDArray[np.generic]], inputs: tuple[TensorSpec, ...]
) -> Iterator[str]:
    """Yield a sentence for each input of the model that the rows do not fit: tensor, expected and actual.

    Shapes and types are compared without reading; values are read batch by batch, to find what is not finite.

    Raises:
        DatasetError: a row cannot be read.
    """
    held = as_rows(rows)
    floats = []
    for spec in inputs:
        form = held.forms.get(spec.name)
        shown = f"({', '.join(map(str, ('n', *spec.shape[1:])))})"
        if form is None:
            have = ", ".join(f"{split}/{name}" for name in held.names)
            yield f"{split}/{spec.name} is missing: the model takes {spec.name!r} {shown}, the data has {have}"
        elif form.shape != spec.shape[1:]:
            yield f"{split}/{spec.name}: expected shape {shown}, got {(held.count, *form.shape)}"
        elif not is_number(form):
            yield f"{split}/{spec.name}: expected numbers, got {form.dtype}"
        elif np.issubdtype(form.dtype, np.floating):
            floats.append(spec.name)
    for name, count in _not_finite(held, floats).items():
        yield f"{split}/{name}: {count} values are not finite; clean them"


def value_ranges(rows: Rows, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest value of each of the tensors, read batch by batch.

    Raises:
        DatasetError: a row cannot be read.
    """
    found = dict.fromkeys(names, (math.inf, -math.inf))
    for batch in rows.batches(streaming_size(rows)) if names else ():
        for name in names:
            low, high = found[name]
            found[name] = min(low, float(batch[name].min())), max(high, float(batch[name].max()))
    return found


def is_number(form: RowForm) -> bool:
    """Return whether the elements are numbers that a model can take."""
    return np.issubdtype(form.dtype, np.number) or form.dtype == np.bool_


def _not_finite(rows: Rows, names: list[str]) -> dict[str, int]:
    """Return how many values of each of the tensors are no finite numbers, where there are any."""
    found = dict.fromkeys(names, 0)
    for batch in rows.batches(streaming_size(rows)) if names else ():
        for name in names:
            found[name] += int(np.count_nonzero(~np.isfinite(batch[name])))
    return {name: count for name, count in found.items() if count}


def _check_counts(split: str, rows: Rows | Mapping[str, Tensor], label: Tensor | None) -> None:
    if isinstance(rows, Mapping):
        counts = {name: tensor.shape[0] if tensor.shape else 0 for name, tensor in rows.items()}
    else:
        counts = dict.fromkeys(rows.names, rows.count)
    if label is not None:
        counts[LABEL] = label.shape[0] if label.shape else 0
    if not counts or 0 in counts.values():
        raise DatasetError(f"{split} has no rows; {_FORM}")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{split}/{name} {count}" for name, count in counts.items())
        raise DatasetError(f"{split} arrays have different numbers of rows: {listed}; give one row of each")
