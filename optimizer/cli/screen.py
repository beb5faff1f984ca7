"""Where commands print: a console on the present standard output, and words on the error stream."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Return a console on the present standard output, whatever libraries do to it meanwhile."""
    from rich.console import Console

    return Console(file=sys.stdout)


def say(words: str) -> None:
    """Print a line that the user should know, apart from the result."""
    click.echo(f"note: {words}", err=True)
