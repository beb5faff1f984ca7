"""Bars for layers and operators: how much each layer moves the answers, and where the time of a run goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.metrics.sensitivity import LayerSensitivity
from optimizer.report.charts import BAR_LEFT, BAR_RIGHT
from optimizer.words import points_in_words

if TYPE_CHECKING:
    from optimizer.benchmark.operators import OperatorProfile, OperatorTime

MOST_LAYERS = 24
MOST_OPERATORS = 12
_LONGEST_NAME = 26
_ROW_HEIGHT, _PAIR_HEIGHT = 22.0, 36.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBar:
    """One bar: the name as it fits and in full, the width, the figure in words and where the words begin."""

    name: str
    full_name: str
    top: float
    width: float
    kind: str
    text: str
    text_x: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBars:
    """Bars from the same left edge; ``left_out`` did not fit."""

    left: float
    height: float
    bars: tuple[LayerBar, ...]
    left_out: int


def sensitivity_bars(layers: Sequence[LayerSensitivity]) -> LayerBars | None:
    """Return the layers that move the answers most, worst first; None where none was measured."""
    worst = sorted(layers, key=lambda one: (-one.error, one.layer))[:MOST_LAYERS]
    if not worst:
        return None
    largest = worst[0].error or 1.0
    bars = tuple(
        _bar(one.layer, one.error / largest, top=6 + place * _ROW_HEIGHT, kind="front", text=_error_in_words(one))
        for place, one in enumerate(worst)
    )
    return LayerBars(left=BAR_LEFT, height=12 + len(bars) * _ROW_HEIGHT, bars=bars, left_out=len(layers) - len(worst))


def operator_bars(profiles: Mapping[str, OperatorProfile]) -> LayerBars | None:
    """Return the time by kind of operator, a bar for each of the (two) models; None where nothing was profiled.

    Args:
        profiles: by the model's label; the first is the original's arithmetic.
    """
    totals = {label: _by_operator(profile.operators) for label, profile in profiles.items() if profile.operators}
    if not totals:
        return None
    kinds = sorted({kind for total in totals.values() for kind in total}, key=lambda kind: (-_most(totals, kind), kind))
    shown = kinds[:MOST_OPERATORS]
    largest = _most(totals, shown[0]) or 1.0
    bars = tuple(
        _bar(
            kind if first else "",
            total[kind] / largest,
            top=6 + place * _PAIR_HEIGHT + (0 if first else 14),
            kind="original" if label == next(iter(totals)) else "winner",
            text=f"{total[kind]:.3g} us" if total[kind] else "none",
        )
        for place, kind in enumerate(shown)
        for first, (label, total) in zip((True, False), totals.items(), strict=False)
    )
    height = 12 + len(shown) * _PAIR_HEIGHT
    return LayerBars(left=BAR_LEFT, height=height, bars=bars, left_out=len(kinds) - len(shown))


def slowest(profile: OperatorProfile, *, most: int = 10) -> tuple[OperatorTime, ...]:
    """Return the operations that take longest, longest first."""
    return tuple(sorted(profile.operators, key=lambda one: (-one.p50_us, one.name))[:most])


def _by_operator(profile: Sequence[OperatorTime]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in profile:
        total[one.operator] += one.p50_us  # type: ignore[assignment] # a Counter counts floats as well
    return total


def _most(totals: Mapping[str, Counter[str]], kind: str) -> float:
    return max(total[kind] for total in totals.values())


def _bar(name: str, share: float, *, top: float, kind: str, text: str) -> LayerBar:
    width = max(share * (BAR_RIGHT - BAR_LEFT), 1.0)
    return LayerBar(
        name=_fitting(name), full_name=name, top=top, width=width, kind=kind, text=text, text_x=BAR_LEFT + width + 8
    )


def _fitting(name: str) -> str:
    """Return the name, its middle cut where it is too long: both ends tell layers apart."""
    half = (_LONGEST_NAME - 1) // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def _error_in_words(one: LayerSensitivity) -> str:
    drop = "" if one.drop is None else f", drop {points_in_words(one.drop.value)}"
    return f"{one.error:.3g}{drop}"
