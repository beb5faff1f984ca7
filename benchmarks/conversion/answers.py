"""A file's answers beside ONNX Runtime's on the same rows, real-looking and random, each a batch of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversion.files import DoesNotRun, Layout, Opened, Row, arranged, possible_layouts
from benchmarks.conversion.subjects import Subject

KINDS: Final = ("real", "random")
CLOSE: Final = 1e-2
"""Share of the largest output within which a layout of the tensors is the right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Rows of one kind, each a batch of one, and what ONNX Runtime answers, by output."""

    kind: str
    rows: tuple[Row, ...]
    answers: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How far a file's answers are from ONNX Runtime's.

    Attributes:
        worst: by kind of rows, the largest difference of an output over the largest value of that output in its row.
        inputs: how the file takes the model's inputs.
        outputs: how it gives the outputs.
        repeats: whether the first row, asked again after others, was answered with the same bytes.
    """

    worst: Mapping[str, float]
    inputs: tuple[Layout, ...]
    outputs: tuple[Layout, ...]
    repeats: bool

    @property
    def error(self) -> float:
        """The worst of both kinds."""
        return max(self.worst.values())


def reference(subject: Subject) -> tuple[Asked, ...]:
    """Return the model's rows with ONNX Runtime's answers, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(subject.model.read_bytes(), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    asked = []
    for kind in KINDS:
        rows = tuple(rows_of_one(subject.rows(kind)))
        answers = tuple(dict(zip(names, session.run(None, dict(row)), strict=True)) for row in rows)
        asked.append(Asked(kind=kind, rows=rows, answers=answers))
    return tuple(asked)


def rows_of_one(rows: Mapping[str, NDArray[Any]]) -> Iterator[Row]:
    """Yield each row as a batch of one."""
    for place in range(len(next(iter(rows.values())))):
        yield {name: values[place : place + 1] for name, values in rows.items()}


def compared(path: Path, asked: Sequence[Asked]) -> Compared:
    """Return how far the file is from ONNX Runtime, its tensors matched in the way that brings it closest.

    Raises:
        DoesNotRun: LiteRT refuses it, or its tensors are not the model's.
    """
    opened = Opened(path)
    inputs = [*possible_layouts(opened.inputs, _shapes(asked[0].rows[0]))]
    outputs = [*possible_layouts(opened.outputs, _shapes(asked[0].answers[0]))]
    best: Compared | None = None
    for taken in inputs:
        answers = [[opened.call(arranged(row, taken, opened.inputs)) for row in one.rows] for one in asked]
        again = opened.call(arranged(asked[0].rows[0], taken, opened.inputs))
        repeats = all(np.array_equal(one, two) for one, two in zip(again, answers[0][0], strict=True))
        for given in outputs:
            worst = {one.kind: _worst(mine, one, given) for one, mine in zip(asked, answers, strict=True)}
            found = Compared(worst=worst, inputs=taken, outputs=given, repeats=repeats)
            if best is None or found.error < best.error:
                best = found
        if best is not None and best.error <= CLOSE:
            return best
    if best is None:
        shapes = [list(map(int, item["shape"])) for item in (*opened.inputs, *opened.outputs)]
        raise DoesNotRun(f"its tensors are not the model's: {shapes}")
    return best


def _shapes(row: Row) -> dict[str, tuple[int, ...]]:
    return {name: values.shape for name, values in row.items()}


def _worst(answers: Sequence[Sequence[NDArray[Any]]], asked: Asked, given: Sequence[Layout]) -> float:
    return max(
        difference(expected[layout.tensor].transpose(layout.order), actual)
        for mine, expected in zip(answers, asked.answers, strict=True)
        for layout, actual in zip(given, mine, strict=True)
    )


def difference(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    """Return the largest difference over the largest expected value; infinite for other shapes or NaN."""
    if expected.shape != actual.shape or not np.isfinite(actual).all():
        return float("inf")
    exact = expected.astype(np.float64)
    return float(np.abs(exact - actual).max(initial=0.0) / max(float(np.abs(exact).max(initial=0.0)), 1e-30))
