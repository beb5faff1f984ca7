"""Small multiples: one feature's reference and current shares, as the page's island and its table take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fleet_server.console.reading import FeatureOverlay

WATCH_PSI = 0.10
DRIFT_PSI = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiple:
    """One small chart: shares of rows in each bin, 0..1; ``word`` judges the PSI by the usual lines 0.10 and 0.25."""

    name: str
    psi: float
    word: str
    sign: str
    tone: str
    reference_mean: float
    current_mean: float
    bins: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


def multiples(features: Sequence[FeatureOverlay]) -> tuple[Multiple, ...]:
    """Return the charts, what moved most first."""
    return tuple(sorted((_multiple(feature) for feature in features), key=lambda chart: -chart.psi))


def judge(psi: float) -> tuple[str, str, str]:
    """Return word, sign and tone of a population stability index."""
    if psi >= DRIFT_PSI:
        return "moved", "✕", "failed"
    return ("watch", "!", "rolled_back") if psi >= WATCH_PSI else ("steady", "✓", "healthy")


def judge_moved(psi: float) -> tuple[str, str, str]:
    """Return word, sign and tone of an input that an alert names: where its shape kept, its mean moved."""
    return judge(psi) if psi >= WATCH_PSI else ("mean moved", "!", "rolled_back")


def _multiple(feature: FeatureOverlay) -> Multiple:
    word, sign, tone = judge(feature.psi)
    return Multiple(
        name=feature.name,
        psi=feature.psi,
        word=word,
        sign=sign,
        tone=tone,
        reference_mean=feature.reference.mean,
        current_mean=feature.current.mean,
        bins=_bins(feature.edges),
        reference=_shares(feature.reference.counts),
        current=_shares(feature.current.counts),
    )


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    rows = sum(counts)
    return tuple(round(count / rows, 5) if rows else 0.0 for count in counts)


def _bins(edges: Sequence[float]) -> tuple[str, ...]:
    if not edges:
        return ("all",)
    between = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return (f"below {edges[0]:.4g}", *between, f"{edges[-1]:.4g} and above")
