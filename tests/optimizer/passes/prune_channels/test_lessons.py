"""Lessons: the rows, changed, and what the teacher says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optimizer.passes.prune_channels.lessons import answers_of, lessons, parted, takes_mirrored

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

pytestmark = pytest.mark.slow


def _summing(*, even: bool) -> GraphModule:
    """Return a network that sums an image up: all columns alike, or those on the left alone."""
    import torch

    class Sum(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen = x if even else x[..., : x.shape[3] // 2]
            return seen.sum(dim=(2, 3)), x

    return torch.fx.symbolic_trace(Sum())


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


def test_images_are_mirrored_row_by_row_only_where_they_count_as_the_same() -> None:
    import torch

    ramp = torch.arange(16.0).expand(32, 1, 16, 16).contiguous()

    plain, turned = (
        torch.cat([batch[0] for batch in lessons((ramp,), batch=2, fixed=False, seed=1, mirrored=mirrored)])
        for mirrored in (False, True)
    )

    falls = (turned[:, 0, 0, 0] > turned[:, 0, 0, -1]).float().mean()
    assert bool((plain[:, 0, 0, 0] < plain[:, 0, 0, -1]).all())
    assert 0.1 < float(falls) < 0.9


def test_mirrored_rows_count_as_the_same_where_the_teacher_says_so() -> None:
    import torch

    rows = (torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0)),)

    assert takes_mirrored(torch.fx.symbolic_trace(torch.nn.AdaptiveAvgPool2d(1)), rows)
    assert not takes_mirrored(_summing(even=False), rows)
    assert not takes_mirrored(_summing(even=True), (torch.randn(8, 4),))


def test_what_is_learnt_of_an_image_is_the_mean_over_both_its_sides_but_inside_it_is_as_it_is() -> None:
    import torch

    rows = (torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)),)

    answer, inside = answers_of(_summing(even=False), rows, mirrored=True, features=1)

    assert torch.allclose(answer, rows[0].sum(dim=(2, 3)) / 2, atol=1e-4)
    assert torch.equal(inside, rows[0])


@pytest.mark.parametrize(("count", "fixed", "held"), [(80, 0, 10), (81, 0, 10), (31, 0, 0), (80, 16, 0)])
def test_one_row_of_eight_is_held_out_where_that_is_enough_to_judge_by(count: int, fixed: int, held: int) -> None:
    import torch

    taught, judged = parted((torch.arange(count),), fixed=fixed)

    assert len(judged[0]) == held
    assert sorted([*taught[0].tolist(), *judged[0].tolist()]) == list(range(count))
