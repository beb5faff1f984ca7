"""Rows to learn from, shown changed: mirrored, shifted, mixed row with row, or with a part of another row.

The original answers whatever it is shown, so its answer to a changed row is as good a lesson as any. Where it takes
mirrored rows for much the same, both its answers together are a better one: what differs by chance cancels out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.network import first_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from torch import Tensor
    from torch.fx import GraphModule

_SHIFT: Final = 8
"""An image is shifted by up to this part of its size."""
_IMAGE: Final = 4
_LEAST_SIDE: Final = 8
_MIXED: Final = 0.7
"""Share of the batches whose rows are mixed with others."""
_ALIKE: Final = 0.3
"""Of the answers' variance: how far answers to mirrored rows may be (photographs came to 0.14, digits to 0.9)."""
_LEAST_HELD: Final = 4
_HELD_OUT: Final = 8
"""One row of so many is kept from training, to tell which weights are best."""


def takes_mirrored(teacher: GraphModule, rows: tuple[torch.Tensor, ...]) -> bool:
    """Whether the rows are images, and the network answers much the same when they are mirrored."""
    if not all(_is_image(one) for one in rows):
        return False
    with torch_library().no_grad():
        plain, mirrored = (first_output(teacher(*given)) for given in (rows, _mirrored(rows)))
    pairs = [(one, other) for one, other in zip(plain, mirrored, strict=True) if one.is_floating_point()]
    return all(float((one - other).square().mean()) <= _ALIKE * float(one.var()) for one, other in pairs)


def answers_of(
    teacher: Callable[..., list[torch.Tensor]], rows: tuple[torch.Tensor, ...], *, mirrored: bool, features: int = 0
) -> list[torch.Tensor]:
    """Return what is to be learnt of the rows: the teacher's outputs, over mirrored rows too where they count as same.

    Args:
        teacher: gives outputs, then so many tensors inside, which are always those of the rows as they are.
        rows: a batch.
        mirrored: from ``takes_mirrored``.
        features: how many tensors inside follow the outputs.
    """
    with torch_library().no_grad():
        wanted = first_output(teacher(*rows))
        if not mirrored:
            return wanted
        other = first_output(teacher(*_mirrored(rows)))
        answers = len(wanted) - features
        both = [
            (one + two) / 2 if one.is_floating_point() else one
            for one, two in zip(wanted[:answers], other[:answers], strict=True)
        ]
        return [*both, *wanted[answers:]]


def parted(
    rows: tuple[torch.Tensor, ...], *, fixed: int = 0
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Return the rows to train on, and every eighth, held out; none where that would be too few to tell anything.

    Args:
        rows: tensors of one number of rows.
        fixed: the only batch that the network takes; 0: any.
    """
    torch = torch_library()
    count = len(rows[0])
    held = torch.arange(_HELD_OUT - 1, count, _HELD_OUT)
    if len(held) < max(_LEAST_HELD, fixed):
        return rows, tuple(one[:0] for one in rows)
    taught = torch.ones(count, dtype=torch.bool)
    taught[held] = False
    return tuple(one[taught] for one in rows), tuple(one[held] for one in rows)


def batches(rows: tuple[torch.Tensor, ...], *, batch: int, fixed: bool) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield the rows as they are, in order; where the batch is fixed, those that make no whole one are left out."""
    for first in range(0, len(rows[0]), batch):
        some = tuple(one[first : first + batch] for one in rows)
        if not fixed or len(some[0]) == batch:
            yield some


def lessons(
    rows: tuple[torch.Tensor, ...], *, batch: int, fixed: bool, seed: int, mirrored: bool = False
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield every row once in seeded order, in batches, changed in seeded ways.

    Args:
        rows: tensors of one number of rows.
        batch: how many make a batch; a last one of fewer than two, or of another size where it is fixed, is left out.
        fixed: the network takes batches of exactly this size.
        seed: of order and changes.
        mirrored: from ``takes_mirrored``; half of the rows are mirrored then.
    """
    torch = torch_library()
    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows[0]), generator=chance)
    for places in order.split(batch):
        if len(places) >= 2 and not (fixed and len(places) != batch):
            yield _changed(tuple(one[places] for one in rows), chance, mirrored=mirrored)


def _changed(rows: tuple[torch.Tensor, ...], chance: torch.Generator, *, mirrored: bool) -> tuple[torch.Tensor, ...]:
    """Return the rows of a batch: images mirrored and shifted, most batches mixed row with row."""
    torch = torch_library()
    if any(not one.is_floating_point() for one in rows):
        return rows
    if mirrored:
        turned = torch.rand(len(rows[0]), generator=chance) < 0.5
        rows = tuple(torch.where(turned[:, None, None, None], one.flip(3), one) for one in rows)
    rows = tuple(_shifted(one, chance) if _is_image(one) else one for one in rows)
    if float(torch.rand((), generator=chance)) >= _MIXED:
        return rows
    other = torch.randperm(len(rows[0]), generator=chance)
    if all(_is_image(one) for one in rows) and float(torch.rand((), generator=chance)) < 0.5:
        return tuple(_patched(one, one[other], chance) for one in rows)
    share = torch.rand(len(rows[0]), generator=chance)
    shares = [share.reshape(-1, *[1] * (one.dim() - 1)) for one in rows]
    return tuple(one * own + one[other] * (1 - own) for one, own in zip(rows, shares, strict=True))


def _is_image(rows: torch.Tensor) -> bool:
    return rows.is_floating_point() and rows.dim() == _IMAGE and min(rows.shape[2:]) >= _LEAST_SIDE


def _mirrored(rows: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(one.flip(3) for one in rows)


def _shifted(rows: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Return each image shifted a little; its border goes on outwards."""
    torch = torch_library()
    high, wide = rows.shape[2:]
    reach = min(high, wide) // _SHIFT
    padded = torch.nn.functional.pad(rows, (reach, reach, reach, reach), mode="replicate")
    places = torch.randint(0, 2 * reach + 1, (len(rows), 2), generator=chance).tolist()
    shown: Tensor = torch.stack(
        [one[:, down : down + high, right : right + wide] for one, (down, right) in zip(padded, places, strict=True)]
    )
    return shown


def _patched(rows: torch.Tensor, others: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Return images with a rectangle of another in them, each side a quarter to three quarters of theirs."""
    torch = torch_library()
    patched = rows.clone()
    cuts = []
    for side in rows.shape[2:]:
        size = int(torch.randint(side // 4, side * 3 // 4 + 1, (), generator=chance))
        first = int(torch.randint(0, side - size + 1, (), generator=chance))
        cuts.append(slice(first, first + size))
    patched[:, :, cuts[0], cuts[1]] = others[:, :, cuts[0], cuts[1]]
    return patched
