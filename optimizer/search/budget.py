"""What a model may cost on the device, as the user states it, and what to prefer within it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from optimizer.errors import BudgetError

_SIZES = {"b": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_TIMES_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_SHARES = {"pp": 0.01, "%": 0.01}


class Objective(StrEnum):
    """What to prefer among the candidates that hold the budgets."""

    SIZE = "size"
    """The smallest file; where sizes tie, the faster on this machine. The default: it needs no target."""
    LATENCY = "latency"
    """The fastest on this machine, as a stand-in for the target; where latencies tie, the smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeBudget:
    """Limits; None means that no limit was stated.

    ``max_drop`` is a share (0.01 is one percentage point) of accuracy lost against the original, of
    agreement where there are no labels, or of RMSE gained where the outputs are quantities.
    ``max_latency_ms`` is of one row, on the target: this machine cannot decide it.
    """

    max_drop: float | None = 0.01
    max_latency_ms: float | None = None
    max_memory_bytes: int | None = None
    max_size_bytes: int | None = None


def parse_size(text: str) -> int:
    """Return the bytes of ``200KB``, ``1.5MB``, ``64MiB``; a size without a unit could be any of them.

    Raises:
        BudgetError: it is not a size above zero, or has no unit.
    """
    if text.strip().isdecimal():
        raise BudgetError(
            f"{text!r} is no size without a unit; write {text.strip()}B, {text.strip()}KB or {text.strip()}MB"
        )
    return int(_parse(text, _SIZES, 1, "a size, as in 200KB or 1.5MB"))


def parse_latency_ms(text: str) -> float:
    """Return the milliseconds of ``20ms``, ``500us``, ``1s`` or a plain number of milliseconds.

    Raises:
        BudgetError: it is not a time above zero.
    """
    return _parse(text, _TIMES_MS, 1.0, "a time, as in 20ms or 500us")


def parse_share(text: str) -> float:
    """Return the share of ``1pp``, ``0.5%`` or a plain share such as ``0.01``.

    Raises:
        BudgetError: it is not a share below 1.

    >>> parse_share("1pp")
    0.01
    """
    share = _parse(text, _SHARES, 1.0, "a drop in percentage points, as in 1pp or 0.5pp", zero=True)
    if share >= 1:
        raise BudgetError(f"{text!r} would allow any drop; give percentage points, as in 1pp")
    return share


def _parse(
    text: str, units: dict[str, float] | dict[str, int], plain: float, form: str, *, zero: bool = False
) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z%]*)\s*", text)
    unit = match.group(2).lower() if match else ""
    if match is None or (unit and unit not in units):
        raise BudgetError(f"{text!r} is not {form}")
    value = float(match.group(1)) * (units[unit] if unit else plain)
    if value < 0 or (value == 0 and not zero):
        raise BudgetError(f"{text!r} must be above zero; leave the option out for no limit")
    return value
