"""How the demo speaks: numbered steps, figures, progress, and claims that must be true.

On a terminal it draws with rich; elsewhere it prints plain lines, so that a log reads as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeship.demo.errors import StepFailed

if TYPE_CHECKING:
    from rich.console import Console

STEPS = 9


@dataclass(slots=True, kw_only=True)
class Narrator:
    """Speaks on one console and remembers what it claimed."""

    console: Console
    started: float = field(default_factory=time.monotonic)
    claims: int = 0

    @contextmanager
    def step(self, number: int, title: str, *, timed: bool = True) -> Iterator[None]:
        """Head a step and close it with the time it took."""
        from rich.rule import Rule
        from rich.text import Text

        heading = Text(f" {number}/{STEPS}  {title} ", style="bold")
        self.console.print()
        self.console.print(Rule(heading, align="left", style="bright_black"))
        begun = time.monotonic()
        yield
        if timed:
            self.console.print(f"     [bright_black]{time.monotonic() - begun:.1f} s[/]")

    def say(self, text: str) -> None:
        """Print one line of the story; a long one goes on under its own beginning."""
        self._print("", text)

    def claim(self, holds: bool, text: str) -> None:  # noqa: FBT001 (reads as a sentence: claim(x == y, "..."))
        """Print the claim with a tick, or stop the demo with it.

        Raises:
            StepFailed: it does not hold.
        """
        if not holds:
            self._print("[bold red]✕[/]", f"[bold red]{text}[/]")
            raise StepFailed(f"this did not hold: {text}")
        self.claims += 1
        self._print("[green]✓[/]", text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a small table; columns whose cells are figures are set to the right."""
        from rich.padding import Padding
        from rich.table import Table

        drawn = Table(box=None, pad_edge=False, header_style="bright_black")
        for place, name in enumerate(columns):
            figures = all(row[place][:1].isdigit() or row[place] in ("", "-") for row in rows)
            drawn.add_column(name, justify="right" if figures and rows else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*row)
        self.console.print(Padding(drawn, (0, 0, 0, 5)))

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show a spinner with a text that the caller may change, where there is a terminal."""
        if not self.console.is_terminal:
            yield lambda _text: None
            return
        with self.console.status(f"{text}") as status:
            yield status.update

    def _print(self, sign: str, text: str) -> None:
        from rich.padding import Padding
        from rich.table import Table

        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_column(width=1)
        line.add_column(overflow="fold")
        line.add_row(sign, text)
        self.console.print(Padding(line, (0, 0, 0, 3)), highlight=False)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self.started


def narrator(*, width: int | None = None) -> Narrator:
    """Return the narrator on stdout: at least 100 columns where stdout is no terminal."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=width or 120, no_color=True)
    return Narrator(console=console)


def bar(done: int, total: int, *, width: int = 20) -> str:
    """Return a bar of blocks: ``bar(3, 4, width=4)`` is ``███░``."""
    filled = width * done // total if total else 0
    return "█" * filled + "░" * (width - filled)


def wait_until(question: Callable[[], bool], *, patience_s: float, pause_s: float = 0.1) -> bool:
    """Ask until the answer is yes or the patience is over; return the last answer."""
    end = time.monotonic() + patience_s
    while not question():
        if time.monotonic() > end:
            return question()
        time.sleep(pause_s)
    return True
