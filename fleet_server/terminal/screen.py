"""Prints pages: with rich on a terminal, as plain aligned text where a program or a file reads.

``NO_COLOR`` is honoured (rich does); JSON goes out the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from contracts.codec import to_plain
from fleet_server.terminal.page import GAP, Line, Part, Table

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table as RichTable
    from rich.text import Text

_STYLES = {
    "healthy": "green",
    "failed": "bold red",
    "refused": "bold red",
    "timed_out": "red",
    "rolled_back": "yellow",
    "downloading": "cyan",
    "offered": "cyan",
    "verifying": "blue",
    "installing": "blue",
    "probation": "magenta",
    "accent": "bold blue",
    "queued": "bright_black",
    "cancelled": "bright_black",
    "quiet": "bright_black",
    "strong": "bold",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Where pages go. ``width`` in columns is found out by rich where it is None."""

    out: IO[str]
    is_terminal: bool
    width: int | None = None

    def show(self, *parts: Part) -> None:
        """Print the parts, one below the other."""
        if self.is_terminal:
            console = self.console()
            console.print(renderable(parts, console.width))
        else:
            self.out.write("".join(f"{text}\n" for part in parts for text in plain_lines(part)))

    def show_json(self, value: object) -> None:
        """Print the readmodel value as JSON."""
        self.out.write(json.dumps(to_plain(value), indent=2, ensure_ascii=False) + "\n")

    def console(self) -> Console:
        """Return the rich console of this terminal."""
        from rich.console import Console

        return Console(file=self.out, force_terminal=True, width=self.width, highlight=False, soft_wrap=False)


def plain_lines(part: Part) -> list[str]:
    """Return the part as lines of text without colours; a table's columns are as wide as they need."""
    if isinstance(part, Line):
        return [part.text.rstrip()]
    if not part.rows:
        return [part.empty] if part.empty else []
    rows = [[column.heading for column in part.columns], *([cell.text for cell in row] for row in part.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(part.columns))]
    return [(" " * GAP).join(_aligned(part, row, widths)).rstrip() for row in rows]


def renderable(parts: Sequence[Part], columns: int) -> Group:
    """Return the parts as rich prints them on that many columns."""
    from rich.console import Group

    return Group(*(_rich_line(part) if isinstance(part, Line) else _rich_table(part.fitted(columns)) for part in parts))


def _aligned(table: Table, row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        text.rjust(width) if column.number else text.ljust(width)
        for column, text, width in zip(table.columns, row, widths, strict=True)
    ]


def _rich_line(part: Line) -> Text:
    from rich.text import Text

    return Text.assemble(*((cell.text, _STYLES.get(cell.tone, "")) for cell in part.cells), overflow="fold")


def _rich_table(part: Table) -> RichTable | Text:
    from rich.table import Table as RichTable
    from rich.text import Text

    if not part.rows:
        return Text(part.empty)
    table = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bright_black")
    for column in part.columns:
        table.add_column(
            column.heading,
            justify="right" if column.number else "left",
            no_wrap=not column.wide,
            overflow="fold" if column.wide else "ellipsis",
        )
    for row in part.rows:
        table.add_row(*(Text(cell.text, style=_STYLES.get(cell.tone, "")) for cell in row))
    return table
