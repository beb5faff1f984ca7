"""What is printed, as values: lines and tables of cells; a cell's tone is the console's name for a colour.

Pure: nothing here knows a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from fleet_server.console.words import face

GAP = 2
"""Characters between two columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A piece of text and its tone (empty: as the terminal has it)."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading; ``number`` columns are aligned right, ``wide`` ones are folded where space is short.

    Where that is not enough, columns with ``spare`` above 0 are left out, the highest first.
    """

    heading: str
    number: bool = False
    wide: bool = False
    spare: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Cells one after the other, with nothing in between."""

    cells: tuple[Cell, ...] = ()

    @property
    def text(self) -> str:
        """The line without its tones."""
        return "".join(cell.text for cell in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under headings; ``empty`` is the sentence for no rows, with the next action."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = ""

    def fitted(self, columns: int) -> Table:
        """Return the table without the spare columns that ``columns`` characters have no room for."""
        table = self
        while table.width > columns and any(column.spare for column in table.columns):
            most = max(column.spare for column in table.columns)
            kept = [place for place, column in enumerate(table.columns) if column.spare != most]
            table = Table(
                columns=tuple(table.columns[place] for place in kept),
                rows=tuple(tuple(row[place] for place in kept) for row in table.rows),
                empty=table.empty,
            )
        return table

    @property
    def width(self) -> int:
        """How many characters a line needs; a wide column counts as its heading, at least 24."""
        texts = [[cell.text for cell in row] for row in self.rows]
        needed = [
            max(24, len(column.heading))
            if column.wide
            else max(len(column.heading), *(len(row[place]) for row in texts))
            for place, column in enumerate(self.columns)
        ]
        return sum(needed) + GAP * (len(needed) - 1)


Part: TypeAlias = Line | Table


def cell(text: object, tone: str = "") -> Cell:
    """Return the cell; nothing is a dash. Control characters, which a device might report, are made visible."""
    shown = "-" if text is None or text == "" else str(text)
    return Cell(text="".join(letter if letter.isprintable() else "�" for letter in shown), tone=tone)


def state_cell(state: StrEnum, *more: str) -> Cell:
    """Return sign and word of the state, in its tone."""
    look = face(state)
    return cell(" ".join((look.sign, look.word, *more)), look.tone)


def line(*cells: Cell | str) -> Line:
    """Return the line; bare text has no tone, and empty text is left out."""
    return Line(cells=tuple(one if isinstance(one, Cell) else cell(one) for one in cells if one))
