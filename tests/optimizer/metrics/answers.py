"""Answers of pretended models, drawn from known distributions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

THREE = np.array([[2.0, 1, 0], [0, 2, 1], [1, 0, 2], [3, 0, 0]], dtype=np.float32)
"""Scores of three classes; the top ones are 0, 1, 2, 0."""
LABELS = np.array([0, 1, 2, 1])


def column(*values: float) -> dict[str, NDArray[np.float32]]:
    """Return one output of one number a row."""
    return {"y": np.array(values, dtype=np.float32)[:, None]}


def unit_rows(*, count: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Return random vectors of length one, shape (count, width)."""
    rows = np.random.default_rng(seed).normal(size=(count, width))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit
