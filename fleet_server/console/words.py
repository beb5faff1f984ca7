"""States as people read them: a sign, a word and a tone, never a colour alone; numbers with their units.

>>> face(UpdateState.ROLLED_BACK).word
'rolled back'
>>> age(timedelta(seconds=90))
'1 min'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from contracts.update import UpdateState
from fleet_server.readmodel import AlertKind, AlertState, DeviceStatus
from fleet_server.rollouts.states import RolloutState, WaveState


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """How a state looks: ``tone`` is the style sheet's name for its colour."""

    sign: str
    word: str
    tone: str


LETTERS: Mapping[UpdateState, str] = MappingProxyType(
    {
        UpdateState.QUEUED: "q",
        UpdateState.OFFERED: "o",
        UpdateState.DOWNLOADING: "d",
        UpdateState.VERIFYING: "v",
        UpdateState.INSTALLING: "i",
        UpdateState.PROBATION: "p",
        UpdateState.HEALTHY: "h",
        UpdateState.REFUSED: "x",
        UpdateState.FAILED: "f",
        UpdateState.ROLLED_BACK: "b",
        UpdateState.TIMED_OUT: "t",
        UpdateState.CANCELLED: "c",
    }
)
"""One letter for each state: how a grid of devices travels."""

_REGION = re.compile(r"\.region-([0-3])-([0-3])$")
"""How the optimizer names the mean of one cell of the grid that it lays over an image."""

# a list, because members of different StrEnums with one value are equal as keys
_SIGNS: tuple[tuple[StrEnum, str, str], ...] = (
    (UpdateState.QUEUED, "○", "queued"),
    (UpdateState.OFFERED, "◌", "offered"),
    (UpdateState.DOWNLOADING, "↓", "downloading"),
    (UpdateState.VERIFYING, "◔", "verifying"),
    (UpdateState.INSTALLING, "◐", "installing"),
    (UpdateState.PROBATION, "◕", "probation"),
    (UpdateState.HEALTHY, "✓", "healthy"),
    (UpdateState.REFUSED, "⊘", "refused"),
    (UpdateState.FAILED, "✕", "failed"),
    (UpdateState.ROLLED_BACK, "↺", "rolled_back"),
    (UpdateState.TIMED_OUT, "◷", "timed_out"),
    (UpdateState.CANCELLED, "/", "cancelled"),
    (DeviceStatus.ENROLLED, "○", "queued"),
    (DeviceStatus.ONLINE, "●", "healthy"),
    (DeviceStatus.OFFLINE, "✕", "failed"),
    (DeviceStatus.REVOKED, "⊘", "refused"),
    (RolloutState.RUNNING, "▶", "accent"),
    (RolloutState.PAUSED, "‖", "rolled_back"),
    (RolloutState.ROLLING_BACK, "↺", "rolled_back"),
    (RolloutState.COMPLETED, "✓", "healthy"),
    (RolloutState.ROLLED_BACK, "↺", "rolled_back"),
    (RolloutState.ABORTED, "✕", "queued"),
    (RolloutState.HALTED, "!", "failed"),
    (WaveState.PENDING, "○", "queued"),
    (WaveState.OPEN, "▶", "accent"),
    (WaveState.SOAKING, "◔", "accent"),
    (WaveState.PASSED, "✓", "healthy"),
    (WaveState.FAILED, "✕", "failed"),
    (AlertState.OPEN, "!", "failed"),
    (AlertState.ACKNOWLEDGED, "✓", "queued"),
    (AlertState.CLEARED, "✓", "healthy"),
    (AlertKind.DRIFT, "≈", "rolled_back"),
    (AlertKind.ROLLOUT, "▶", "failed"),
    (AlertKind.REFUSAL, "⊘", "failed"),
    (AlertKind.TRUST, "⚿", "failed"),
)

_FACES: Mapping[tuple[type, str], Face] = MappingProxyType(
    {
        (type(state), state.value): Face(sign=sign, word=state.value.replace("_", " "), tone=tone)
        for state, sign, tone in _SIGNS
    }
)


def face(state: StrEnum) -> Face:
    """Return how the state looks."""
    return _FACES[type(state), state.value]


def wave_face(state: WaveState, *, ended: bool) -> Face:
    """Return how a wave looks; in a rollout that has ended, no wave is waiting or at work any more.

    >>> wave_face(WaveState.PENDING, ended=True).word
    'never opened'
    """
    if not ended or state in (WaveState.PASSED, WaveState.FAILED):
        return face(state)
    word = "never opened" if state is WaveState.PENDING else f"stopped while {face(state).word}"
    return Face(sign="○", word=word, tone="queued")


def spelled(code: str) -> str:
    """Return a code as words.

    >>> spelled("taken_back")
    'taken back'
    """
    return code.replace("_", " ")


def input_title(name: str) -> str:
    """Return what the name of a watched input means where it does not say so itself, else nothing.

    >>> input_title("image.region-0-3")
    'brightness of one part of the image: row 1, column 4 of a 4 x 4 grid, counted from the top left'
    """
    found = _REGION.search(name)
    if found is None:
        return ""
    row, column = int(found[1]) + 1, int(found[2]) + 1
    return f"brightness of one part of the image: row {row}, column {column} of a 4 x 4 grid, counted from the top left"


def age(span: timedelta) -> str:
    """Return the span in one unit, rounded down: "8 s", "3 min", "2 h", "5 d"."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def since(moment: datetime | None, now: datetime) -> str:
    """Return how long ago that was, "never" where it was not."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    return "just now" if seconds < 1 else f"{age(timedelta(seconds=seconds))} ago"


def absolute(moment: datetime | None) -> str:
    """Return the moment to the second, with its zone."""
    return "never" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def percent(ratio: float) -> str:
    """Return a ratio 0..1 as a percentage that never rounds to 0 or 100 what is neither.

    >>> percent(0.5), percent(0.9999), percent(1.0), percent(0.0001)
    ('50 %', '99.9 %', '100 %', '0.1 %')
    """
    if ratio in (0, 1):
        return f"{ratio:.0%}".replace("%", " %")
    shown = min(max(ratio * 100, 0.1), 99.9)
    return f"{shown:.1f} %".replace(".0 %", " %")


def size(count: int) -> str:
    """Return bytes in the unit that fits.

    >>> size(512), size(2_400_000)
    ('512 B', '2.4 MB')
    """
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the last unit takes everything")


def plain_number(value: float) -> str:
    """Return a measured value with three significant figures, whole from a hundred on.

    >>> plain_number(7.754), plain_number(0.0), plain_number(1234.5)
    ('7.75', '0', '1,234')
    """
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
