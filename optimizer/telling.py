"""Who is told what goes on while work takes long, and what the user should know: whoever wants to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Told: TypeAlias = Callable[[str], None]
"""Told one sentence."""
Progress: TypeAlias = Callable[[str, float], None]
"""Told what is going on, in words, and the share of it that is done, 0 to 1."""


def nobody(_what: str, _share: float = 0.0) -> None:
    """Tell nobody."""
