"""Bars for layers and operators: how much each layer moves the answers, and where the time of a run goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.metrics.sensitivity import LayerSensitivity
from optimizer.report.charts import BAR_LEFT, BAR_RIGHT

if TYPE_CHECKING:
    from optimizer.benchmark.operators import OperatorProfile, OperatorTime

MOST_LAYERS = 24
MOST_OPERATORS = 12
_LONGEST_NAME = 26
_ROW_HEIGHT, _BAR_STEP, _KIND_GAP = 22.0, 14.0, 8.0


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
        _bar(one.layer, one.error / largest, top=6 + place * _ROW_HEIGHT, kind="front", text=f"{one.error:.3g}")
        for place, one in enumerate(worst)
    )
    return LayerBars(left=BAR_LEFT, height=12 + len(bars) * _ROW_HEIGHT, bars=bars, left_out=len(layers) - len(worst))


def operator_bars(profiles: Mapping[str, OperatorProfile], *, winner: str = "") -> LayerBars | None:
    """Return the time by kind of operator, a bar for each of the (two) models; None where nothing was profiled.

    Args:
        profiles: by the model's label.
        winner: the label of the winner; all others stand for the original.
    """
    totals = {label: _by_operator(profile.operators) for label, profile in profiles.items() if profile.operators}
    if not totals:
        return None
    kinds = sorted({kind for total in totals.values() for kind in total}, key=lambda kind: (-_most(totals, kind), kind))
    shown = kinds[:MOST_OPERATORS]
    largest = _most(totals, shown[0]) or 1.0
    bars: list[LayerBar] = []
    top = 6.0
    for kind in shown:
        present = [(label, total[kind]) for label, total in totals.items() if total[kind]]
        for place, (label, time_us) in enumerate(present):
            tone = "winner" if label == winner else "original"
            name = kind if place == 0 else ""
            bars.append(_bar(name, time_us / largest, top=top, kind=tone, text=f"{time_us:.3g} us"))
            top += _BAR_STEP
        top += _KIND_GAP
    return LayerBars(left=BAR_LEFT, height=top, bars=tuple(bars), left_out=len(kinds) - len(shown))


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
    """Return the end of the name, which tells layers apart, without what the exporter adds to every tensor."""
    short = name.removesuffix("_output_0")
    return short if len(short) <= _LONGEST_NAME else f"…{short[1 - _LONGEST_NAME :]}"
