"""Embeddings: how near each lies to the original's, and whether its nearest neighbour is still the same.

The embedding of a row is the output flattened. No labels are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import MetricError
from optimizer.metrics.fidelity import Answers, Fidelity, Labels, output_of
from optimizer.metrics.interval import around_positive, share_missing, standard_error

_BLOCK_ROWS = 512
_TIE = 1e-6
"""Similarities that differ by less are one: equal rows in the data are each other's neighbour in any order."""
_MOST_FOR_OTHERS = 5000
"""Neighbours cost n x n: beyond this they are found only where they are the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """Mean cosine of each row's embedding to the original's; ``cosine_p1`` is that of the row at the first per cent."""

    output: str = ""
    name: ClassVar[str] = "cosine"

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return the cosine that is missing; see ``Metric``."""
        del labels
        mine, theirs = _directions(answers, reference, self.output)
        cosines = _cosines(mine, theirs)
        others = {"cosine_p1": float(np.percentile(cosines, 1))}
        if 1 < len(cosines) <= _MOST_FOR_OTHERS:
            others["neighbours"] = float(find_neighbours(mine, theirs).same.mean())
        return Fidelity(
            metric=self.name,
            n=len(cosines),
            value=float(cosines.mean()),
            original=1.0,
            drop=around_positive(max(1 - float(cosines.mean()), 0.0), standard_error(cosines)),
            unit="points",
            others=others,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Share of rows whose nearest other row, by cosine, is the one that the original's embeddings name."""

    output: str = ""
    name: ClassVar[str] = "neighbours"

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return the share of neighbours that changed; see ``Metric``.

        Raises:
            MetricError: there are fewer than two rows.
        """
        del labels
        mine, theirs = _directions(answers, reference, self.output)
        if len(mine) < 2:
            raise MetricError("neighbours needs at least two holdout rows; add rows, or choose cosine")
        found, cosines = find_neighbours(mine, theirs), _cosines(mine, theirs)
        return Fidelity(
            metric=self.name,
            n=len(found.same),
            value=float(found.same.mean()),
            original=1.0,
            drop=share_missing(found.same, clumping=found.clumping),
            unit="points",
            others={"cosine": float(cosines.mean()), "cosine_p1": float(np.percentile(cosines, 1))},
        )


def are_embeddings(outputs: NDArray[np.float32]) -> bool:
    """Return whether every row is a vector of length one with values of both signs, as encoders normalize them."""
    if outputs.ndim != 2 or outputs.shape[1] < 3 or not (outputs < 0).any():
        return False
    return bool(np.allclose(np.linalg.norm(outputs, axis=1), 1.0, atol=1e-3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Each row's nearest other row by the candidate and by the original, and whether it is the same; shape (n,)."""

    mine: NDArray[np.int64]
    theirs: NDArray[np.int64]
    same: NDArray[np.bool_]

    @property
    def clumping(self) -> float:
        """How many rows count as one: rows that share a neighbour lose it together.

        The variance of the share with the covariances of all rows that are linked (one is the other's neighbour,
        or both have the same one), over that without them.
        """
        errors = self.same - self.same.mean()
        squares = float((errors**2).sum())
        if not squares:
            return 1.0
        first, second = _linked(self.mine, self.theirs)
        return max(float((errors[first] * errors[second]).sum()) / squares, 1.0)


def find_neighbours(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> Found:
    """Return each row's nearest other row; it is the same where it is as near as the original's nearest.

    Args:
        mine: the candidate's embeddings, each of length one, shape (n, d), n >= 2.
        theirs: the original's, same shape.
    """
    blocks = [
        _nearest(mine, theirs, np.arange(start, min(start + _BLOCK_ROWS, len(mine))))
        for start in range(0, len(mine), _BLOCK_ROWS)
    ]
    own, known, same = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Found(mine=own, theirs=known, same=same)


def _nearest(
    mine: NDArray[np.float64], theirs: NDArray[np.float64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    found, known = mine[rows] @ mine.T, theirs[rows] @ theirs.T
    places = np.arange(len(rows))
    found[places, rows] = known[places, rows] = -np.inf
    own, best = found.argmax(axis=1), known.argmax(axis=1)
    return own, best, known[places, own] >= known[places, best] - _TIE


def _linked(mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each pair of linked rows once in each order, every row with itself among them.

    A row that is the neighbour of very many links only the first of them, so that memory stays bounded.
    """
    n = len(mine)
    shared = np.concatenate([np.arange(n), mine, theirs])
    order = np.argsort(shared, kind="stable")
    rows = np.tile(np.arange(n), 3)[order]
    ends = np.flatnonzero(np.diff(shared[order], append=-1)) + 1
    groups = (group[:_BLOCK_ROWS] for group in np.split(rows, ends[:-1]))
    pairs = np.unique(np.concatenate([(group[:, None] * n + group).reshape(-1) for group in groups]))
    return pairs // n, pairs % n


def _directions(answers: Answers, reference: Answers, output: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return _unit(output_of(answers, output)), _unit(output_of(reference, output))


def _unit(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = outputs.reshape(len(outputs), -1).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1.0)
    return unit


def _cosines(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of each pair; 1 where both are all zero."""
    both_zero = ~mine.any(axis=1) & ~theirs.any(axis=1)
    cosines: NDArray[np.float64] = np.where(both_zero, 1.0, np.minimum((mine * theirs).sum(axis=1), 1.0))
    return cosines
