"""A CSV file as rows: read once, line by line, into a spool."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import TensorSpec
from optimizer.data.labels import parse_label
from optimizer.data.splits import Body
from optimizer.data.table import BATCH_ROWS, Filling, columns_of, fitted, is_whole
from optimizer.errors import DatasetError

_SEPARATORS: Final = (",", ";", "\t")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Some lines of the table: where each ends, and its cells."""

    lines: list[int]
    cells: list[list[str]]


def csv_body(path: Path, inputs: tuple[TensorSpec, ...], *, label: str) -> Body:
    """Return the rows of the CSV file; its separator is the one of ``,`` ``;`` and tab that its header has most of.

    Raises:
        DatasetError: it is no table, its columns are not those of the inputs, or a cell is no number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(file, inputs, label)
    except UnicodeDecodeError as error:
        raise DatasetError(f"is no text in UTF-8 ({error.reason}); save the table as CSV in UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"is no CSV file ({error}); save the table as CSV") from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}; give a file that can") from error


def _read(file: IO[str], inputs: tuple[TensorSpec, ...], label: str) -> Body:
    first = file.readline(1 << 20)
    file.seek(0)
    reader = csv.reader(file, delimiter=max(_SEPARATORS, key=first.count), strict=True)
    filling = Filling(columns_of(next(reader, []), inputs, label))
    columns = filling.columns
    for part in _parts(reader, len(columns.names)):
        filling.extend({spec.name: _numbers(part, spec, places, columns.names) for spec, places in columns.inputs})
        for line, cells in zip(part.lines, part.cells, strict=True) if columns.label >= 0 else ():
            try:
                filling.labels.add(parse_label(cells[columns.label].strip()))
            except DatasetError as error:
                raise DatasetError(f"line {line}, column {columns.names[columns.label]}: {error}") from error
    return filling.body()


def _parts(reader: Iterator[list[str]], width: int) -> Iterator[_Part]:
    """Yield the lines, many at a time; empty ones are passed over."""
    part = _Part(lines=[], cells=[])
    for cells in reader:
        line: int = reader.line_num  # type: ignore[attr-defined] # a csv.reader, whose type has no name
        if len(cells) != width:
            if not cells:
                continue
            raise DatasetError(f"line {line} has {len(cells)} cells, the header has {width}; mend the line")
        part.lines.append(line)
        part.cells.append(cells)
        if len(part.lines) == BATCH_ROWS:
            yield part
            part = _Part(lines=[], cells=[])
    if part.lines:
        yield part


def _numbers(part: _Part, spec: TensorSpec, places: tuple[int, ...], names: tuple[str, ...]) -> NDArray[np.generic]:
    """Return the input's values, shape (lines, elements)."""
    kind, dtype = (int, np.int64) if is_whole(spec) else (float, np.float64)
    try:
        values = np.array([[kind(cells[place]) for place in places] for cells in part.cells], dtype=dtype)
    except (ValueError, OverflowError) as error:
        raise DatasetError(_bad_cell(part, spec, places, names)) from error
    cast, wrong = fitted(spec, values)
    if wrong.any():
        raise DatasetError(_bad_cell(part, spec, places, names))
    return cast


def _bad_cell(part: _Part, spec: TensorSpec, places: tuple[int, ...], names: tuple[str, ...]) -> str:
    """Return the sentence about the first cell that is no number of the input's."""
    wanted = "whole number in range" if is_whole(spec) else "finite number"
    for line, cells in zip(part.lines, part.cells, strict=True):
        for place in places:
            text = cells[place].strip()
            if not _fits(text, spec):
                told = f"{text[:40]!r} is no {wanted}" if text else "the value is missing"
                return f"line {line}, column {names[place]}: {told}; mend the cell, or leave the line out"
    return f"lines {part.lines[0]} to {part.lines[-1]} hold what is no {wanted}; mend them"


def _fits(text: str, spec: TensorSpec) -> bool:
    try:
        value = int(text) if is_whole(spec) else float(text)
        return math.isfinite(value) and not fitted(spec, np.array([value]))[1].any()
    except (ValueError, OverflowError):
        return False
