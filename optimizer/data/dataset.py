"""The user's data: rows to calibrate with and rows to judge by, as clients will send them.

A ``.npz`` file with one array for each split and tensor:

    calibration/TENSOR   rows to calibrate with
    holdout/TENSOR       rows to judge by; never used for calibration
    holdout/label        class index (integers) or target (floats) of each holdout row; optional
    labels               names of the classes; optional
    columns              names of the elements of a row, for a table; optional

Other splits are passed over (``train/...``). Values are raw: preprocessing steps come after.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.ids import Digest
from contracts.tensors import TensorSpec
from optimizer.errors import DatasetError

_LABEL: Final = "label"
_FORM: Final = "write calibration/TENSOR and holdout/TENSOR (and holdout/label) with numpy.savez"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Rows by tensor, shape (n, ...); ``label`` has n entries. Never write into the arrays.

    ``digest`` is over names, types, shapes and values of everything here.
    """

    calibration: Mapping[str, NDArray[np.generic]]
    holdout: Mapping[str, NDArray[np.generic]]
    label: NDArray[np.generic] | None
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    digest: Digest

    @classmethod
    def of(
        cls,
        *,
        calibration: Mapping[str, NDArray[np.generic]],
        holdout: Mapping[str, NDArray[np.generic]],
        label: NDArray[np.generic] | None = None,
        labels: tuple[str, ...] = (),
        columns: tuple[str, ...] = (),
    ) -> Dataset:
        """Return the data set of these arrays.

        Raises:
            DatasetError: a split is empty, or its arrays have different numbers of rows.
        """
        _check_rows("calibration", calibration)
        _check_rows("holdout", holdout if label is None else {**holdout, _LABEL: label})
        named = {f"calibration/{name}": values for name, values in calibration.items()}
        named |= {f"holdout/{name}": values for name, values in holdout.items()}
        named |= {} if label is None else {f"holdout/{_LABEL}": label}
        digest = digest_arrays(named, *labels, *columns)
        return cls(calibration=calibration, holdout=holdout, label=label, labels=labels, columns=columns, digest=digest)

    @classmethod
    def load(cls, path: Path | str) -> Dataset:
        """Return the data set in the ``.npz`` file.

        Raises:
            DatasetError: missing, no ``.npz`` file, cut short, pickled, or without a split.
        """
        arrays = _read_npz(Path(path))
        splits: dict[str, dict[str, NDArray[np.generic]]] = {"calibration": {}, "holdout": {}}
        for key, values in arrays.items():
            split, slash, tensor = key.partition("/")
            if slash and split in splits:
                splits[split][tensor] = values
        for split, found in splits.items():
            if not set(found) - {_LABEL}:
                raise DatasetError(
                    f"{path} has no {split}/TENSOR array (it has {', '.join(arrays) or 'none'}); {_FORM}"
                )
        label = splits["holdout"].pop(_LABEL, None)
        splits["calibration"].pop(_LABEL, None)
        labels, columns = (
            tuple(str(name) for name in arrays[key].reshape(-1)) if key in arrays else ()
            for key in ("labels", "columns")
        )
        try:
            return cls.of(
                calibration=splits["calibration"],
                holdout=splits["holdout"],
                label=label,
                labels=labels,
                columns=columns,
            )
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from error


def misfits(split: str, rows: Mapping[str, NDArray[np.generic]], inputs: tuple[TensorSpec, ...]) -> Iterator[str]:
    """Yield a sentence for each input of the model that the rows do not fit: tensor, expected and actual."""
    for spec in inputs:
        values = rows.get(spec.name)
        wanted = ("n", *spec.shape[1:])
        shown = f"({', '.join(map(str, wanted))})"
        if values is None:
            have = ", ".join(f"{split}/{name}" for name in rows)
            yield f"{split}/{spec.name} is missing: the model takes {spec.name!r} {shown}, the data has {have}"
        elif values.shape[1:] != spec.shape[1:]:
            yield f"{split}/{spec.name}: expected shape {shown}, got {values.shape}"
        elif not np.issubdtype(values.dtype, np.number) and values.dtype != np.bool_:
            yield f"{split}/{spec.name}: expected numbers, got {values.dtype}"
        elif np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            yield f"{split}/{spec.name}: {np.count_nonzero(~np.isfinite(values))} values are not finite; clean them"


def digest_arrays(arrays: Mapping[str, NDArray[np.generic]], *words: str) -> Digest:
    """Return the SHA-256 over names, types, shapes and little-endian values, and the words."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
        total.update(values.tobytes())
    total.update("|".join(words).encode())
    return Digest(total.hexdigest())


def _read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with path.open("rb") as file:  # numpy leaves a file open that it cannot read
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DatasetError(f"{path} holds one array, not named ones; {_FORM}")
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise DatasetError(f"data file {path} does not exist; give the path of a .npz file") from error
    except OSError as error:
        raise DatasetError(f"cannot read data {path}: {error.strerror or error}; give a .npz file") from error
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError, AttributeError) as error:
        reason = "pickled objects" if "pickle" in str(error).lower() else str(error)[:120]
        raise DatasetError(f"{path} is no plain .npz file ({reason}); {_FORM}") from error


def _check_rows(split: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    counts = {name: len(values) if values.ndim else 0 for name, values in arrays.items()}
    if not counts or 0 in counts.values():
        raise DatasetError(f"{split} has no rows; {_FORM}")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{split}/{name} {count}" for name, count in counts.items())
        raise DatasetError(f"{split} arrays have different numbers of rows: {listed}")
