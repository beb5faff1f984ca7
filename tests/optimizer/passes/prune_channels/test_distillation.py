"""How far an answer is from the teacher's."""

from __future__ import annotations

import pytest

from optimizer.passes.prune_channels.distillation import distillation_loss

pytestmark = pytest.mark.slow


def test_the_same_answers_are_no_distance_apart_and_others_are() -> None:
    import torch

    chance = torch.Generator().manual_seed(1)
    wanted = [torch.randn(5, 4, generator=chance), torch.randn(5, 3, generator=chance)]
    far = [one + 1 for one in wanted]

    none, some = (float(distillation_loss(given, wanted, features=1)) for given in (wanted, far))

    assert none == pytest.approx(0.0, abs=1e-6)
    assert some > 0.01
