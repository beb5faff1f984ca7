"""Figures as people read them: the same words in tables, reasons and reports."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from optimizer.search.candidate import Verdict

VERDICT_WORDS: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.WINNER: "winner",
        Verdict.FRONT: "holds the budgets",
        Verdict.DOMINATED: "dominated",
        Verdict.OVER_BUDGET: "over budget",
        Verdict.UNFIT: "unfit",
    }
)
"""The same words on the command line and in the report."""


def size_in_words(count: int) -> str:
    """Return the bytes with a unit of 1000: ``812 B``, ``8.4 KB``, ``1.10 MB``."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.1f} KB"
    return f"{count / 1_000_000:.2f} MB"


def latency_in_words(milliseconds: float) -> str:
    """Return the time with a fitting unit: ``31 us``, ``0.82 ms``, ``12.4 ms``."""
    if milliseconds < 0.1:
        return f"{1000 * milliseconds:.0f} us"
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.1f} ms"


def points_in_words(share: float) -> str:
    """Return a share as percentage points with its sign: ``+0.28``, ``-1.00``; a drop is positive."""
    return f"{100 * share:+.2f}" if round(100 * share, 2) else "0.00"
