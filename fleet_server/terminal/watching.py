"""A rollout until it is over: redrawn in place on a terminal, a line for each change elsewhere.

The exit code tells a script how it ended: 0 completed, 2 aborted, 3 a gate failed (halted or rolled back).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from fleet_server.console.words import face
from fleet_server.readmodel import RolloutView
from fleet_server.rollouts.states import RolloutState, WaveState
from fleet_server.terminal.page import Line, line
from fleet_server.terminal.rollout_page import count_words, rollout_page
from fleet_server.terminal.screen import Screen, renderable
from signing.errors import ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.ids import RolloutId
    from fleet_server.client import FleetClient

SILENT_POLLS = 30
"""Polls without an answer before the watch gives up: a server may restart meanwhile."""

EXIT_CODES: Mapping[RolloutState, int] = MappingProxyType(
    {
        RolloutState.COMPLETED: 0,
        RolloutState.ABORTED: 2,
        RolloutState.HALTED: 3,
        RolloutState.ROLLED_BACK: 3,
    }
)
"""The states that end a watch; a halted rollout waits for a person, so watching on would show nothing."""

_COUNTDOWN = re.compile(r"\d+ s to go")
"""A log has no line for each second that passes."""


def watch(
    client: FleetClient,
    rollout: RolloutId,
    *,
    screen: Screen,
    now: Callable[[], datetime],
    pause: Callable[[], None],
) -> int:
    """Show the rollout until it is over and return the exit code.

    Raises:
        ServerUnreachable: no answer for 30 polls in a row.
        ServerError: the server refused.
    """
    silent = 0
    with _display(screen, now) as show:
        while True:
            try:
                view = client.rollout(rollout)
            except ServerUnreachable:
                silent += 1
                if silent >= SILENT_POLLS:
                    raise
            else:
                silent = 0
                show(view)
                if view.state in EXIT_CODES:
                    return EXIT_CODES[view.state]
            pause()


def change_line(view: RolloutView, at: datetime) -> Line:
    """Return the rollout in one line of a log."""
    wave = next((one for one in reversed(view.waves) if one.counts), None)
    counts = "".join(one.text for one in count_words(wave.counts)).rstrip() if wave else ""
    where = f"  wave {wave.index + 1} {face(wave.state).word}  {counts}" if wave else ""
    if wave and wave.verdict and wave.state is WaveState.SOAKING:
        where += f"  {wave.verdict}"
    reason = f"  {view.reason}" if view.reason else ""
    return line(f"{at:%H:%M:%S}  {face(view.state).sign} {face(view.state).word}{where}{reason}")


def _display(screen: Screen, now: Callable[[], datetime]) -> AbstractContextManager[Callable[[RolloutView], None]]:
    return _live(screen, now) if screen.is_terminal else _log(screen, now)


@contextmanager
def _live(screen: Screen, now: Callable[[], datetime]) -> Iterator[Callable[[RolloutView], None]]:
    from rich.live import Live

    console = screen.console()
    with Live(console=console, auto_refresh=False) as live:
        yield lambda view: live.update(renderable(rollout_page(view, now()), console.width), refresh=True)


@contextmanager
def _log(screen: Screen, now: Callable[[], datetime]) -> Iterator[Callable[[RolloutView], None]]:
    last: list[str] = [""]

    def show(view: RolloutView) -> None:
        told = change_line(view, now())
        change = _COUNTDOWN.sub("", told.text[8:])
        if change != last[0]:
            last[0] = change
            screen.show(told)

    yield show
