"""The recorded rows of an artifact as arrays: what went in when it was packed, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contracts.artifact.names import Side
from contracts.errors import TensorError
from contracts.preprocessing import DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contracts.artifact.layout import Artifact


def recorded_rows(artifact: Artifact, side: Side) -> dict[str, NDArray[np.generic]]:
    """Return the recorded rows of each served tensor of one side, shape (golden.rows, ...), in the manifest's order.

    Raises:
        TensorError: a member does not hold that many rows [artifact-3.2].
    """
    manifest = artifact.manifest
    specs = manifest.inputs if side is Side.INPUT else manifest.outputs
    rows: dict[str, NDArray[np.generic]] = {}
    for place, spec in enumerate(specs):
        member, dtype, count = artifact.golden(side, place), DTYPES[spec.element], manifest.golden.rows
        if len(member) != count * spec.elements_per_row * dtype.itemsize:
            raise TensorError(f"the recorded {side} {spec.name!r} does not hold {count} rows; pack the artifact again")
        rows[spec.name] = np.frombuffer(member, dtype=dtype).reshape(count, *spec.shape[1:])
    return rows
