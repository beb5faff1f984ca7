"""Forms among which a measurement chooses: the same numbers, written in different operators."""

from __future__ import annotations

from enum import StrEnum


class RecurrentForm(StrEnum):
    """How recurrent layers are written where TFLite has a sequence operator for them; which is faster is measured."""

    SEQUENCE = "sequence"
    """One operator for all steps: the shortest file."""
    UNROLLED = "unrolled"
    """Operators for each step, which delegates take."""
