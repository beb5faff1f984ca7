"""Representative inputs for passes that calibrate, with a fingerprint for the store.

The rows are what clients send. What a pass gets is what its model takes: after the user's
preprocessing and after the steps that earlier passes added (channel-last). Rows are read when they are
asked for, and prepared batch by batch: memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.codec import encode
from contracts.errors import TensorError
from contracts.ids import Digest
from contracts.preprocessing import DTYPES, Step, apply_steps
from contracts.tensors import TensorSpec
from optimizer.data.dataset import misfits
from optimizer.data.rows import Rows, as_rows
from optimizer.errors import DatasetError
from optimizer.model import Model

_BATCH_BYTES: Final = 4 << 20
"""How much of the prepared rows is in memory at once while they are streamed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSet:
    """Rows by served input, and the steps between them and the model that the user gave."""

    rows: Rows
    preprocessing: tuple[Step, ...]

    @classmethod
    def of(
        cls, rows: Rows | Mapping[str, NDArray[np.generic]], *, preprocessing: tuple[Step, ...] = ()
    ) -> CalibrationSet:
        """Return the set of these rows behind these steps.

        Raises:
            DatasetError: there is no row, or arrays have different numbers of them.
        """
        return cls(rows=as_rows(rows), preprocessing=preprocessing)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.rows.count

    @property
    def fingerprint(self) -> Digest:
        """The SHA-256 over rows and steps; the first call reads every row once."""
        words = (encode(step).hex() for step in self.preprocessing)
        return Digest(hashlib.sha256("|".join((self.rows.digest, *words)).encode()).hexdigest())

    def objections(self, inputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
        """Return why these rows do not fit the served inputs: tensor, expected and actual shape."""
        return (*misfits("calibration", self.rows, inputs), *self._step_objections(inputs))

    def places(self, wanted: int) -> NDArray[np.int64]:
        """Return which rows are used where so many are wanted: evenly spread from first to last, all where too few."""
        return np.unique(np.linspace(0, self.count - 1, min(wanted, self.count)).round().astype(np.int64))

    def take(self, model: Model, served: tuple[TensorSpec, ...], wanted: int) -> Mapping[str, NDArray[np.generic]]:
        """Return up to so many rows as the model takes them, by the model's own input names.

        Args:
            model: the model that a pass is about to work on.
            served: the inputs of the model that the user gave; pair with the model's by place.
            wanted: how many rows.

        Raises:
            DatasetError: a step does not fit the rows, or a row cannot be read.
        """
        return self._prepared(model, served, self.places(wanted)) if wanted > 0 else {}

    def batches(
        self, model: Model, served: tuple[TensorSpec, ...], wanted: int, *, skip: int = 0
    ) -> Iterator[Mapping[str, NDArray[np.generic]]]:
        """Yield the rows of ``take`` in batches of a bounded size, without the first ``skip`` of them.

        A batch ends at the same rows whatever was skipped; all but the last are multiples of the model's fixed batch.

        Raises:
            DatasetError: a step does not fit the rows, or a row cannot be read.
        """
        places = self.places(wanted)
        row_bytes = sum(4 * spec.elements_per_row for spec in model.inputs)
        fixed = model.fixed_batch or 1
        size = max(1, _BATCH_BYTES // (row_bytes * fixed)) * fixed
        start = skip
        while start < len(places):
            end = (start // size + 1) * size
            yield self._prepared(model, served, places[start:end])
            start = end

    def _prepared(
        self, model: Model, served: tuple[TensorSpec, ...], places: NDArray[np.int64]
    ) -> dict[str, NDArray[np.generic]]:
        steps = (*self.preprocessing, *model.adapter)
        raw = self.rows.take(places)
        try:
            return {
                own.name: as_model_takes(own, apply_steps(steps, spec.name, raw[spec.name]))
                for spec, own in zip(served, model.inputs, strict=True)
            }
        except TensorError as error:
            raise DatasetError(f"calibration rows do not pass the preprocessing: {error}") from error

    def _step_objections(self, inputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
        known = {spec.name for spec in inputs}
        return tuple(
            f"preprocessing names {step.tensor!r}; the model takes {', '.join(sorted(known))}"
            for step in self.preprocessing
            if step.tensor not in known
        )


def as_model_takes(own: TensorSpec, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return real values as float32 where the tensor is float or quantized, else in its own type."""
    if own.quantization is not None or own.element.is_float:
        return np.ascontiguousarray(values, dtype=np.float32)
    return np.ascontiguousarray(values, dtype=DTYPES[own.element])
