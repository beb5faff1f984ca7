"""How many channels are kept."""

from __future__ import annotations

import pytest

from optimizer.errors import PassFailed
from optimizer.passes.prune_channels.units import Structure, Unit
from optimizer.passes.prune_channels.widths import fitting, format_widths, halfway, parse_widths, wanted_widths


def _a_unit(layer: str = "conv", channels: int = 32, block: int = 1) -> Unit:
    atoms = tuple(tuple(range(first, first + block)) for first in range(0, channels, block))
    return Unit(layer=layer, channels=channels, atoms=atoms, layers=(layer,))


def _a_structure(*units: Unit) -> Structure:
    return Structure(units=units, branches=("add",), refused={"gru": "recurrent"})


def test_widths_survive_the_way_through_words() -> None:
    widths = {"block.conv1": 16, "block.conv2": 0}

    assert parse_widths(format_widths(widths)) == widths


@pytest.mark.parametrize("words", [("conv",), ("conv=x",), ("=3",), ("conv=1", "conv=2"), ("conv=-1",)])
def test_words_that_are_no_width_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"no layer and width|two widths"):
        parse_widths(words)


@pytest.mark.parametrize(
    ("channels", "block", "wanted", "multiple", "kept"),
    [
        (32, 1, 20.1, 8, 24),
        (32, 1, 1.0, 8, 8),
        (32, 1, 31.9, 8, 32),
        (6, 1, 3.0, 8, 6),
        (64, 16, 20.0, 8, 16),
        (64, 16, 40.1, 8, 48),
    ],
)
def test_a_width_is_a_multiple_or_whole_heads(
    channels: int, block: int, wanted: float, multiple: int, kept: int
) -> None:
    assert fitting(_a_unit(channels=channels, block=block), wanted, multiple) == kept


def test_a_ratio_is_for_every_unit_that_is_wide_enough() -> None:
    structure = _a_structure(_a_unit("wide", 64), _a_unit("narrow", 8))

    assert wanted_widths(structure, (), ratio=0.5, multiple=8) == {"wide": 32}


def test_cutting_nothing_is_an_error() -> None:
    with pytest.raises(PassFailed, match="0 layers would be cut"):
        wanted_widths(_a_structure(_a_unit("narrow", 8)), (), ratio=0.5, multiple=8)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("gru=4", "recurrent"),
        ("other=4", "these can be cut: conv, heads, add"),
        ("conv=32", "from 1 to 31"),
        ("conv=0", "from 1 to 31"),
        ("heads=20", "a multiple of 16"),
    ],
)
def test_a_width_that_cannot_be_is_refused_with_the_reason(word: str, told: str) -> None:
    structure = _a_structure(_a_unit(), _a_unit("heads", 64, 16))

    with pytest.raises(PassFailed, match=told):
        wanted_widths(structure, (word,), ratio=0.5, multiple=8)


def test_a_branch_is_left_out_by_the_width_of_none() -> None:
    assert wanted_widths(_a_structure(_a_unit()), ("add=0",), ratio=0.5, multiple=8) == {"add": 0}


def test_steps_lead_down_to_the_final_width() -> None:
    unit = _a_unit(channels=64)

    steps = [halfway(unit, 12, share=share, multiple=8) for share in (1 / 3, 2 / 3, 1.0)]

    assert steps == [48, 32, 12]
