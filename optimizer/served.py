"""A model behind its preprocessing, as the agent will serve it: same inputs and outputs for all candidates.

Preprocessing steps, conversion to stored values, the model, conversion back to real values; any
number of rows, also for a file whose batch is fixed. The steps are ``contracts.preprocessing``, the
agent's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.preprocessing import Step, apply_steps, to_real, to_stored
from contracts.tensors import TensorSpec
from optimizer.data.rows import Rows
from optimizer.formats.session import Session, open_session
from optimizer.model import Model

_CHUNK_ROWS = 64
_SCALED_BY_BATCH = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running model that takes the ``inputs`` and gives the ``outputs`` of the user's model."""

    model: Model
    session: Session
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...]

    def infer(self, rows: Rows | Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Return each served output, float32, for as many rows as are given; they are read batch by batch.

        Args:
            rows: by served input name, shape (n, ...), raw.
        """
        size = self._batch()
        batches = self._slices(rows, size) if isinstance(rows, Mapping) else rows.batches(size)
        parts = [self._infer_batch(batch) for batch in batches]
        return {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in self.outputs}

    def one_row(self, rows: Rows | Mapping[str, NDArray[np.generic]]) -> Callable[[], object]:
        """Return a call that serves one row, a different one each time, round and round; up to 64 are read now."""
        values = rows if isinstance(rows, Mapping) else rows.take(np.arange(min(rows.count, _CHUNK_ROWS)))
        count = len(values[self.inputs[0].name])
        turn = iter(range(1 << 62))

        def call() -> object:
            place = next(turn) % count
            return self.infer({spec.name: values[spec.name][place : place + 1] for spec in self.inputs})

        return call

    def own_rows(self, rows: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Return the rows as the file takes them: after the steps, in its own types, filled up to its batch.

        Args:
            rows: by served input name, at most as many as the file's batch, raw.
        """
        return {
            own.name: _padded(to_stored(apply_steps(self.steps, spec.name, rows[spec.name]), own), own)
            for spec, own in zip(self.inputs, self.model.inputs, strict=True)
        }

    def _batch(self) -> int:
        if self.model.spec.operators & _SCALED_BY_BATCH:
            return 1  # a scale over a whole batch would let rows change each other's answers
        return self.model.fixed_batch or _CHUNK_ROWS

    def _slices(
        self, rows: Mapping[str, NDArray[np.generic]], size: int
    ) -> Iterator[Mapping[str, NDArray[np.generic]]]:
        for start in range(0, len(rows[self.inputs[0].name]), size):
            yield {spec.name: rows[spec.name][start : start + size] for spec in self.inputs}

    def _infer_batch(self, rows: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        count = len(rows[self.inputs[0].name])
        results = self.session.run(self.own_rows(rows))
        return {
            spec.name: to_real(results[own_spec.name], own_spec.quantization)[:count]
            for spec, own_spec in zip(self.outputs, self.model.outputs, strict=True)
        }


def serve(model: Model, original: Model, preprocessing: tuple[Step, ...], *, threads: int = 1) -> Served:
    """Return the model running behind its steps, with the original's tensors.

    Raises:
        LibraryMissing: the format's runtime is not installed.
        MeasureFailed: the runtime refuses the file.
    """
    return Served(
        model=model,
        session=open_session(model, threads=threads),
        inputs=original.inputs,
        outputs=original.outputs,
        steps=(*preprocessing, *model.adapter),
    )


def _padded(values: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.generic]:
    """Return the values with their last row repeated up to the file's fixed batch."""
    missing = spec.shape[0] - len(values)
    if spec.shape[0] == -1 or missing <= 0:
        return values
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
