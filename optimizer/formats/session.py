"""Running a model: the protocol that each format implements, and the door to it.

A ``Session`` works in the model file's own tensors. ``open_session`` finds the format's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from contracts.preprocessing import DTYPES
from optimizer.formats.quiet import quiet
from optimizer.model import Format

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model


class Session(Protocol):
    """A loaded model; not safe for two threads at once."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """Return every output for the inputs, all in the file's own names, types and shapes.

        The batch has the file's own size, or any where its first size is -1.
        """
        ...


def open_session(model: Model, *, threads: int = 1) -> Session:
    """Return a session of the model on this machine.

    Raises:
        LibraryMissing: the format's runtime is not installed.
        MeasureFailed: the runtime refuses the file.
    """
    if model.format in (Format.ONNX, Format.ORT):
        from optimizer.formats import onnx_format

        return onnx_format.session(model, threads)
    if model.format is Format.TFLITE:
        from optimizer.formats import tflite_format

        with quiet():
            return tflite_format.session(model, threads)
    from optimizer.formats import torch_format

    return torch_format.session(model, threads)


def constant_rows(model: Model, value: int) -> dict[str, NDArray[np.generic]]:
    """Return inputs full of one number in the file's own tensors: one row, or as many as its fixed batch has."""
    return {
        spec.name: np.full(tuple(abs(size) for size in spec.shape), value, dtype=DTYPES[spec.element])
        for spec in model.inputs
    }
