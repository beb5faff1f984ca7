"""A Parquet file as rows: its row groups are read a part at a time into a spool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import TensorSpec
from optimizer.data.splits import Body
from optimizer.data.table import BATCH_ROWS, Filling, columns_of, fitted, is_whole
from optimizer.errors import DatasetError, LibraryMissing, first_line

if TYPE_CHECKING:
    import pyarrow as pa

_BUFFER_BYTES = 1024 * 1024


def parquet_body(path: Path, inputs: tuple[TensorSpec, ...], *, label: str) -> Body:
    """Return the rows of the Parquet file.

    Raises:
        DatasetError: it is no table, its columns are not those of the inputs, or a cell is no number.
        LibraryMissing: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise LibraryMissing("pyarrow", "a Parquet file") from error
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            return _read(file, inputs, label)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"is no Parquet file that can be read ({first_line(error)}); write it again") from error


def _read(file: Any, inputs: tuple[TensorSpec, ...], label: str) -> Body:
    filling = Filling(columns_of(file.schema_arrow.names, inputs, label))
    columns = filling.columns
    start = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
        values = {
            spec.name: np.stack([_numbers(batch, place, spec, start) for place in places], axis=1)
            for spec, places in columns.inputs
        }
        filling.extend(values)
        labels = batch.column(columns.label).to_pylist() if columns.label >= 0 else []
        for row, value in enumerate(labels, start + 1):
            try:
                filling.labels.add(value)
            except DatasetError as error:
                raise DatasetError(f"row {row}, column {columns.names[columns.label]}: {error}") from error
        start += batch.num_rows
    return filling.body()


def _numbers(batch: pa.RecordBatch, place: int, spec: TensorSpec, start: int) -> NDArray[np.generic]:
    """Return one column's values for the input, shape (rows,)."""
    import pyarrow as pa

    column = batch.column(place)
    name, kind = batch.schema.names[place], pa.int64() if is_whole(spec) else pa.float64()
    if column.null_count:
        row = start + 1 + column.is_null().to_pylist().index(True)
        raise DatasetError(f"row {row}, column {name}: the value is missing; fill it in, or leave the row out")
    try:
        values = column.cast(kind).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        row = start + 1 + next((row for row in range(len(column)) if not _casts(column.slice(row, 1), kind)), 0)
        raise DatasetError(
            f"row {row}, column {name}: {first_line(error)}; "
            f"the model takes {'whole numbers' if is_whole(spec) else 'numbers'}"
        ) from error
    cast, wrong = fitted(spec, values)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DatasetError(
            f"row {start + 1 + row}, column {name}: {values[row]} is no number that {spec.name!r} can hold; "
            "mend it, or leave the row out"
        )
    return cast


def _casts(value: pa.Array, kind: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        value.cast(kind)
    except pa.ArrowException:
        return False
    return True
