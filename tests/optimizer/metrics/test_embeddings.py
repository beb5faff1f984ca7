"""Cosines to the original, and neighbours that stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.errors import MetricError
from optimizer.metrics.embeddings import Cosine, Found, Neighbours, are_embeddings
from optimizer.metrics.fidelity import compare
from tests.optimizer.metrics.answers import unit_rows

_ROWS = unit_rows(count=600, width=8)


def test_the_cosine_is_the_mean_over_rows() -> None:
    reference = np.array([[1.0, 0], [0, 2]], dtype=np.float32)
    answers = np.array([[3.0, 3.0], [0, 0.1]], dtype=np.float32)

    fidelity = compare({"y": answers}, {"y": reference}, None, Cosine())

    assert fidelity.value == pytest.approx((np.sqrt(0.5) + 1) / 2)
    assert fidelity.original == 1.0
    assert fidelity.drop.value == pytest.approx(1 - fidelity.value)
    assert fidelity.others["cosine_p1"] < 0.72


def test_embeddings_that_are_all_zero_are_alike_only_to_each_other() -> None:
    reference = np.array([[0.0, 0], [0, 0], [1, 0]], dtype=np.float32)
    answers = np.array([[0.0, 0], [1, 0], [0, 0]], dtype=np.float32)

    assert compare({"y": answers}, {"y": reference}, None, Cosine()).value == pytest.approx(1 / 3)


def test_neighbours_are_those_of_a_search_over_all_other_rows() -> None:
    answers = _ROWS + 0.15 * unit_rows(count=600, width=8, seed=1)
    unit = answers / np.linalg.norm(answers, axis=1, keepdims=True)
    nearest = [
        int(np.argmax(np.where(np.arange(600) == row, -9, rows @ rows[row])))
        for rows in (_ROWS, unit)
        for row in range(600)
    ]
    expected = np.mean(np.array(nearest[:600]) == np.array(nearest[600:]))

    fidelity = compare({"y": answers}, {"y": _ROWS}, None, Neighbours())

    assert 0.3 < expected < 0.95
    assert fidelity.value == pytest.approx(expected)
    assert fidelity.n == 600
    assert fidelity.others["cosine"] < 1


def test_equal_rows_are_each_others_neighbour_in_any_order() -> None:
    reference = np.repeat(_ROWS[:20], 3, axis=0)
    answers = reference + 1e-7 * unit_rows(count=60, width=8, seed=2)

    assert compare({"y": answers}, {"y": reference}, None, Neighbours()).value == 1.0


def test_one_row_has_no_neighbour() -> None:
    with pytest.raises(MetricError, match="at least two holdout rows"):
        Neighbours().judge({"y": _ROWS[:1]}, {"y": _ROWS[:1]}, None)


def test_rows_of_length_one_are_embeddings_and_probabilities_are_none() -> None:
    probabilities = np.full((5, 4), 0.25, dtype=np.float32)

    assert are_embeddings(_ROWS)
    assert not are_embeddings(_ROWS * 2)
    assert not are_embeddings(probabilities)


def test_rows_that_lose_one_neighbour_together_count_as_one() -> None:
    hubs = np.arange(300) // 10 * 10
    next_ones = (np.arange(300) + 1) % 300
    together = Found(mine=hubs, theirs=hubs, same=hubs % 30 > 0)
    apart = Found(mine=next_ones, theirs=next_ones, same=np.random.default_rng(4).uniform(size=300) > 0.3)

    assert together.clumping == pytest.approx(10, rel=0.05)
    assert apart.clumping < 1.5


def test_a_neighbour_of_every_row_takes_no_more_memory_than_others() -> None:
    hub = np.zeros(20_000, dtype=np.int64)

    assert Found(mine=hub, theirs=hub, same=np.arange(20_000) % 2 > 0).clumping >= 1
