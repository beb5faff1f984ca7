"""How many channels each unit keeps: what was asked for, rounded to what kernels like, and the steps on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from optimizer.errors import PassFailed

if TYPE_CHECKING:
    from optimizer.passes.prune_channels.units import Structure, Unit


def parse_widths(words: Sequence[str]) -> dict[str, int]:
    """Return channels by layer from words such as ``block.conv1=16``; 0 leaves the branch that ends there out.

    >>> parse_widths(("block.conv1=16", "block.conv2=0"))
    {'block.conv1': 16, 'block.conv2': 0}

    Raises:
        ValueError: words are no layer and number, or name one layer twice.
    """
    widths: dict[str, int] = {}
    for word in words:
        layer, sign, number = word.rpartition("=")
        if not sign or not layer or not number.isdecimal():
            raise ValueError(f"{word!r} is no layer and width; write layer=channels, as in block.conv1=16")
        if layer in widths:
            raise ValueError(f"{layer!r} has two widths; name it once")
        widths[layer] = int(number)
    return widths


def format_widths(widths: Mapping[str, int]) -> tuple[str, ...]:
    """Return the words that ``parse_widths`` reads."""
    return tuple(f"{layer}={width}" for layer, width in widths.items())


def fitting(unit: Unit, wanted: float, multiple: int) -> int:
    """Return the channels nearest to the wanted number that the unit can keep: whole heads, else whole multiples.

    Never more than there are, never none.
    """
    step = unit.block if unit.block > 1 else max(1, min(multiple, unit.channels))
    if unit.channels <= step:
        return unit.channels
    return min(unit.channels, max(step, round(wanted / step) * step))


def wanted_widths(structure: Structure, words: Sequence[str], *, ratio: float, multiple: int) -> dict[str, int]:
    """Return channels by layer for all that is to be cut: those in the words, else all units by the ratio.

    Raises:
        PassFailed: a layer cannot be cut, not to that width, or nothing would be cut at all.
    """
    units = {unit.layer: unit for unit in structure.units}
    if words:
        widths = parse_widths(words)
        for layer, width in widths.items():
            _check(structure, units, layer, width)
        return widths
    widths = {
        unit.layer: fitting(unit, unit.channels * (1 - ratio), multiple)
        for unit in structure.units
        if fitting(unit, unit.channels * (1 - ratio), multiple) < unit.channels
    }
    if not widths:
        raise PassFailed(
            f"prune-channels: 0 layers would be cut: with ratio={ratio:g} and multiple={multiple} each of "
            f"{', '.join(units) or 'the network'} keeps all its channels; raise ratio or lower multiple"
        )
    return widths


def halfway(unit: Unit, final: int, *, share: float, multiple: int) -> int:
    """Return the unit's width when that share of the way to the final one is gone."""
    if share >= 1:
        return final
    return max(final, fitting(unit, unit.channels - (unit.channels - final) * share, multiple))


def _check(structure: Structure, units: Mapping[str, Unit], layer: str, width: int) -> None:
    if width == 0 and layer in structure.branches:
        return
    unit = units.get(layer)
    if unit is None:
        why = structure.refused.get(layer)
        reason = f"{why}" if why else f"these can be cut: {', '.join((*units, *structure.branches))}"
        raise PassFailed(f"prune-channels: {layer!r} cannot be cut to {width} channels: {reason}")
    if width % unit.block or not unit.block <= width < unit.channels:
        raise PassFailed(
            f"prune-channels: {layer!r} has {unit.channels} channels, {unit.block} at a time; {width} of them cannot "
            f"be kept: give a multiple of {unit.block} from {unit.block} to {unit.channels - unit.block}"
        )
