"""Representative inputs for passes that calibrate, with a fingerprint for the store.

The rows are what clients send. What a pass gets is what its model takes: after the user's
preprocessing and after the steps that earlier passes added (channel-last).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.codec import encode
from contracts.errors import TensorError
from contracts.ids import Digest
from contracts.preprocessing import DTYPES, Step, apply_steps
from contracts.tensors import ElementType, TensorSpec
from optimizer.data.dataset import Dataset, digest_arrays, misfits
from optimizer.errors import DatasetError
from optimizer.model import Model
from optimizer.pass_ import Observations, Wants

_FLOATS = frozenset({ElementType.FP32, ElementType.FP16})


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSet:
    """Rows by served input, in the order of the served inputs; ``fingerprint`` covers rows and steps."""

    rows: Mapping[str, NDArray[np.generic]]
    preprocessing: tuple[Step, ...]
    fingerprint: Digest

    @classmethod
    def of(cls, rows: Mapping[str, NDArray[np.generic]], *, preprocessing: tuple[Step, ...] = ()) -> CalibrationSet:
        """Return the set of these rows behind these steps."""
        words = (encode(step).hex() for step in preprocessing)
        return cls(rows=rows, preprocessing=preprocessing, fingerprint=digest_arrays(rows, *words))

    @classmethod
    def from_npz(cls, path: Path | str, *, preprocessing: tuple[Step, ...] = ()) -> CalibrationSet:
        """Return the ``calibration/`` arrays of the data set in the file.

        Raises:
            DatasetError: the file is no data set.
        """
        return cls.of(Dataset.load(path).calibration, preprocessing=preprocessing)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return min((len(values) for values in self.rows.values()), default=0)

    def objections(self, inputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
        """Return why these rows do not fit the served inputs: tensor, expected and actual shape."""
        return (*misfits("calibration", self.rows, inputs), *self._step_objections(inputs))

    def observations(self, model: Model, served: tuple[TensorSpec, ...], wants: Wants) -> Observations:
        """Return up to ``wants.rows`` rows, evenly spread over the set, as the model takes them.

        Args:
            model: the model that a pass is about to work on.
            served: the inputs of the model that the user gave; pair with the model's by place.
            wants: what the pass wants to see.

        Raises:
            DatasetError: a step does not fit the rows.
        """
        picked = np.unique(np.linspace(0, self.count - 1, min(wants.rows, self.count)).round().astype(np.int64))
        steps = (*self.preprocessing, *model.adapter)
        try:
            rows = {
                own.name: as_model_takes(own, apply_steps(steps, spec.name, self.rows[spec.name][picked]))
                for spec, own in zip(served, model.inputs, strict=True)
            }
        except TensorError as error:
            raise DatasetError(f"calibration rows do not pass the preprocessing: {error}") from error
        return Observations(rows=rows)

    def _step_objections(self, inputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
        known = {spec.name for spec in inputs}
        return tuple(
            f"preprocessing names {step.tensor!r}; the model takes {', '.join(sorted(known))}"
            for step in self.preprocessing
            if step.tensor not in known
        )


def as_model_takes(own: TensorSpec, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return real values as float32 where the tensor is float or quantized, else in its own type."""
    if own.quantization is not None or own.element in _FLOATS:
        return np.ascontiguousarray(values, dtype=np.float32)
    return np.ascontiguousarray(values, dtype=DTYPES[own.element])
