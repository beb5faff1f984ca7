"""Where commands print: results on the standard output; progress and what the user should know on the error stream."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

import click

if TYPE_CHECKING:
    from rich.console import Console

Tell: TypeAlias = Callable[[str, float], None]
"""Told what begins, in words, and the share of the work done, 0 to 1."""

_BAR_COLUMNS: Final = 24
_TENTHS: Final = 10
_LONG_S: Final = 60.0
"""Silence after which even a small step is told."""


def console() -> Console:
    """Return a console on the present standard output, whatever libraries do to it meanwhile."""
    from rich.console import Console

    return Console(file=sys.stdout)


def say(words: str) -> None:
    """Print a line that the user should know, apart from the result."""
    click.echo(f"note: {words}", err=True)


def said_once() -> Callable[[str], None]:
    """Return what says each sentence once, however often it is told."""
    said: set[str] = set()

    def tell(words: str) -> None:
        if words not in said:
            said.add(words)
            say(words)

    return tell


@contextmanager
def progress() -> Iterator[Tell]:
    """Yield what shows how far the work is: one bar on a terminal, else a line for each tenth of it and each minute."""
    with _error_stream() as stream:
        yield from _shown_on(stream)


@contextmanager
def _error_stream() -> Iterator[TextIO]:
    """Yield the error stream as it is now: while passes work, what libraries write to it goes nowhere."""
    try:
        kept = os.dup(sys.stderr.fileno())
    except OSError:  # it is no file
        yield sys.stderr
        return
    with open(kept, "w", encoding=sys.stderr.encoding, errors="replace", buffering=1) as stream:  # noqa: PTH123 no path
        yield stream


def _shown_on(stream: TextIO) -> Iterator[Tell]:
    from rich.console import Console

    screen = Console(file=stream)
    if not screen.is_terminal:
        yield lines_of(stream)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    one_line = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        BarColumn(_BAR_COLUMNS),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", table_column=one_line, markup=False),
    )
    with Progress(*columns, console=screen, transient=True, expand=True) as bar:
        line = bar.add_task("", total=1.0)
        yield lambda what, share: bar.update(line, description=what, completed=share)


def in_steps(tell: Tell, count: int) -> tuple[Callable[[str], None], Tell]:
    """Return what is told each step as it begins and how far it is, for so many steps of equal shares."""
    begun: list[str] = []

    def begin(step: str) -> None:
        begun.append(step)
        tell(step, (len(begun) - 1) / max(1, count))

    def within(what: str, share: float) -> None:
        step = begun[-1] if begun else ""
        tell(f"{step}: {what}", min(1.0, (max(0, len(begun) - 1) + share) / max(1, count)))

    return begin, within


def lines_of(stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> Tell:
    """Return what prints a line whenever another tenth of the work or a minute is done, so that a refusal stands alone.

    Args:
        stream: where to.
        clock: seconds.
    """
    told, last = 0, clock()

    def tell(what: str, share: float) -> None:
        nonlocal told, last
        tenth = int(share * _TENTHS)
        if tenth > told or clock() - last >= _LONG_S:
            told, last = max(told, tenth), clock()
            click.echo(f"{share:4.0%}  {what}", file=stream)

    return tell
