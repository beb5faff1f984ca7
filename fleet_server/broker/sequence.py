"""Which reports of a boot have been heard: every one counts once [wire-3.4], in whatever order; pure.

Reports of one boot are numbered from 1. ``contiguous`` is what may be acknowledged: the highest
number up to which nothing is missing. A gap is filled by the device, which sends again what was not
acknowledged; where it does not (its own outbox was full and it let go of some), the gap is given up
once ``GAP_LIMIT`` later reports came, or after ``GAP_PATIENCE``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

GAP_LIMIT = 256
GAP_PATIENCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was heard of one boot: all up to ``contiguous``, and those in ``beyond``."""

    contiguous: int = 0
    beyond: frozenset[int] = frozenset()
    gap_since: datetime | None = None

    @property
    def newest(self) -> int:
        """The highest number heard."""
        return max(self.beyond, default=self.contiguous)

    def has(self, sequence: int) -> bool:
        """Whether that report was heard before."""
        return sequence <= self.contiguous or sequence in self.beyond


def hear(heard: Heard, sequence: int, now: datetime) -> Heard:
    """Return what is heard once the report of that number counts."""
    beyond = heard.beyond | {sequence} if sequence > heard.contiguous else heard.beyond
    grown = _close(replace(heard, beyond=beyond))
    if grown.beyond and _is_given_up(grown, now):
        grown = _close(replace(grown, contiguous=min(grown.beyond)))
    if not grown.beyond:
        return replace(grown, gap_since=None)
    return replace(grown, gap_since=heard.gap_since or now)


def _close(heard: Heard) -> Heard:
    contiguous = heard.contiguous
    while contiguous + 1 in heard.beyond:
        contiguous += 1
    return replace(
        heard, contiguous=contiguous, beyond=frozenset(number for number in heard.beyond if number > contiguous)
    )


def _is_given_up(heard: Heard, now: datetime) -> bool:
    waited = heard.gap_since is not None and now - heard.gap_since > GAP_PATIENCE
    return waited or len(heard.beyond) > GAP_LIMIT
