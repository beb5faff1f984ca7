"""Lessons and how far an answer is from the teacher's."""

from __future__ import annotations

import pytest

from optimizer.passes.prune_channels.distillation import distillation_loss, lessons

pytestmark = pytest.mark.slow


def test_lessons_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    import torch

    rows = (torch.randn(20, 3, 16, 16),)

    first, again, other = (list(lessons(rows, batch=8, fixed=False, seed=seed)) for seed in (1, 1, 2))

    assert [len(batch[0]) for batch in first] == [8, 8, 4]
    assert all(torch.equal(one[0], two[0]) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0][0], other[0][0])


def test_a_fixed_batch_is_always_whole() -> None:
    import torch

    found = list(lessons((torch.randn(20, 4),), batch=8, fixed=True, seed=0))

    assert [len(batch[0]) for batch in found] == [8, 8]


def test_rows_of_whole_numbers_are_shown_as_they_are() -> None:
    import torch

    ids = torch.arange(12).reshape(6, 2)

    found = list(lessons((ids,), batch=6, fixed=False, seed=3))

    assert sorted(map(tuple, found[0][0].tolist())) == sorted(map(tuple, ids.tolist()))


def test_the_same_answers_are_no_distance_apart_and_others_are() -> None:
    import torch

    chance = torch.Generator().manual_seed(1)
    wanted = [torch.randn(5, 4, generator=chance), torch.randn(5, 3, generator=chance)]
    far = [one + 1 for one in wanted]

    none, some = (float(distillation_loss(given, wanted, features=1)) for given in (wanted, far))

    assert none == pytest.approx(0.0, abs=1e-6)
    assert some > 0.01
