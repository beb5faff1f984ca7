"""One run of a float model over calibration rows gives the statistics of all its float tensors.

Memory is bounded: a batch holds as many rows as keep all inner tensors together under ``memory_bytes`` (at least one
row), which is found by running one row and then two. What each batch showed is merged and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.calibration.instrument import Instrument, instrumented
from optimizer.calibration.observe import NotFiniteError, observe
from optimizer.calibration.statistics import Statistics, merge
from optimizer.errors import DatasetError, PassFailed
from optimizer.model import Model

MEMORY_BYTES: Final = 64 << 20
"""Bound on all inner tensors of a batch together."""

Batch: TypeAlias = Mapping[str, NDArray[np.generic]]
Kept: TypeAlias = Callable[[Statistics], None]


def collect(
    model: Model,
    batches: Iterable[Batch],
    *,
    begin: Statistics | None = None,
    kept: Kept = lambda _: None,
    places: Sequence[int] = (),
    memory_bytes: int = MEMORY_BYTES,
    threads: int = 1,
) -> Statistics:
    """Return the statistics of every float tensor that the model's operators read or write, over all rows.

    Whatever the size of the batches: counts, ranges, peaks and histograms are the same, means up to the rounding of
    float64 sums (as far as the runtime computes a row the same alone and among others). A tensor that a whole batch
    shares counts once for each row of it. A model with a fixed batch gets whole batches; rows left over are left out.

    Args:
        model: an ONNX or a TFLite model.
        batches: rows as the model takes them, input name to shape (n, ...), n of any size.
        begin: statistics over rows before these, to go on from.
        kept: called after each run with the statistics so far; what it keeps can be a later call's ``begin``.
        places: where each row, ``begin``'s first, stands in the user's data; only to name one that is at fault.
        memory_bytes: bound on the inner tensors of one run; one row may take more.
        threads: how many the runtime may use.

    Raises:
        DatasetError: there is no row at all, or fewer than the model's fixed batch.
        PassFailed: the model does not run on the rows, or gives what is not finite (a tensor that is NaN, an infinite
            input or output; infinities that stay inside are masks and counted apart); names the first tensor that is
            not finite, and the row.
    """
    collector = _Collector(instrumented(model, threads=threads), model.fixed_batch, memory_bytes, begin)
    for batch in batches:
        for part in collector.parts(batch):
            try:
                kept(collector.add(part))
            except NotFiniteError:
                raise PassFailed(collector.what_is_not_finite(part, places)) from None
    if collector.statistics.rows == 0:
        need = max(model.fixed_batch, 1)
        raise DatasetError(f"{model.name}: too few calibration rows to look at; give at least {need}")
    return collector.statistics


class _Collector:
    """The statistics so far, and what is known of the tensors' shapes."""

    def __init__(self, model: Instrument, fixed: int, memory_bytes: int, begin: Statistics | None) -> None:
        self._model = model
        self._fixed = fixed
        self._memory_bytes = memory_bytes
        self._step = fixed
        self._shared: frozenset[str] = frozenset()
        self.statistics = begin or Statistics(rows=0, tensors={})

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch in runs that stay within the memory."""
        count = min((len(values) for values in batch.values()), default=0)
        if self._step == 0 and count > 0:
            self._measure(_rows(batch, 0, 1))
        end = count - count % self._fixed if self._fixed else count
        for start in range(0, end, max(self._step, 1)):
            yield _rows(batch, start, min(start + self._step, end))

    def add(self, part: Batch) -> Statistics:
        """Run the part and return the statistics with it.

        Raises:
            NotFiniteError: a tensor holds NaN, or an input or output an infinity; the part is not counted.
        """
        count = min(len(values) for values in part.values())
        tensors = {}
        given = self._model.run(part)
        for name in list(given):
            values = given.pop(name)
            times = count if name in self._shared else 1
            found = observe(values, axis=self._model.axis(name, values), times=times)
            if found is None:
                continue
            if found.infinite and name in self._model.ends:
                raise NotFiniteError
            tensors[name] = found
        self.statistics = merge(self.statistics, Statistics(rows=count, tensors=tensors))
        return self.statistics

    def _measure(self, row: Batch) -> None:
        """Learn from one row and from two what a row takes and which tensors a batch shares."""
        one = {name: (values.shape, values.nbytes) for name, values in self._model.run(row).items()}
        self._step = 1
        if 2 * sum(size for _, size in one.values()) > self._memory_bytes:
            return
        try:
            two = self._model.run({name: np.concatenate([values, values]) for name, values in row.items()})
        except PassFailed:  # it takes any batch by its word, one row in fact
            return
        self._shared = frozenset(name for name in one if one[name][0] == two[name].shape)
        row_bytes = sum(two[name].nbytes - one[name][1] for name in one)
        self._step = max(1, self._memory_bytes // max(row_bytes, 1))

    def what_is_not_finite(self, part: Batch, places: Sequence[int]) -> str:
        """Return the sentence on the first tensor that is not finite in the part, looking at its rows one by one."""
        step = self._fixed or 1
        for start in range(0, min(len(values) for values in part.values()), step):
            given = self._model.run(_rows(part, start, start + step))
            found = next((name for name, values in given.items() if not np.isfinite(values).all()), None)
            if found is not None:
                row = self.statistics.rows + start
                return (
                    f"{self._model.name}: tensor {found!r} is NaN or infinite on calibration row "
                    f"{places[row] if row < len(places) else row} (the first is 0); correct that row, or the model"
                )
        return f"{self._model.name}: a tensor is NaN or infinite where rows share a batch; export it with a batch of 1"


def _rows(batch: Batch, start: int, end: int) -> Batch:
    return {name: values[start:end] for name, values in batch.items()}
