"""What every ``edgeship fleet`` command has at hand: the client, the screen, the clock, ``--json``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, overload

import click

if TYPE_CHECKING:
    from fleet_server.client import FleetClient
    from fleet_server.terminal.page import Part
    from fleet_server.terminal.screen import Screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One command's surroundings."""

    client: FleetClient
    screen: Screen
    as_json: bool

    def show(self, value: object, page: Callable[[], tuple[Part, ...]], *, path: str = "") -> None:
        """Print the value as JSON where that was asked for, else the page and where the console has it."""
        from fleet_server.terminal.page import cell, line

        if self.as_json:
            self.screen.show_json(value)
            return
        self.screen.show(*page())
        if path and self.screen.is_terminal:
            self.screen.show(line(cell(f"  {self.client.console_url}{path}", "quiet")))

    def now(self) -> datetime:
        """Return the time of this machine, for "how long ago"."""
        return datetime.now(UTC)


Command = Callable[..., None]


@overload
def desk_options(command: Command) -> Command: ...
@overload
def desk_options(*, json_too: bool) -> Callable[[Command], Command]: ...
def desk_options(command: Command | None = None, *, json_too: bool = True) -> Command | Callable[[Command], Command]:
    """Give the command a Desk as its first argument, made of ``--server``, ``--token-file`` and ``--json``."""
    if command is None:
        return functools.partial(_with_desk, json_too=json_too)
    return _with_desk(command, json_too=json_too)


def _with_desk(command: Command, *, json_too: bool) -> Command:
    @functools.wraps(command)
    def run(
        *arguments: object, server: str | None, token_file: Path | None, as_json: bool = False, **options: object
    ) -> None:
        command(_desk(server, token_file, as_json=as_json), *arguments, **options)

    run = click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="EDGESHIP_TOKEN_FILE",
        help="File with the API token.  [default: what 'fleet login' kept]",
    )(run)
    run = click.option(
        "--server", envvar="EDGESHIP_SERVER", help="Address of the fleet server.  [default: what 'fleet login' kept]"
    )(run)
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(run) if json_too else run


def _desk(server: str | None, token_file: Path | None, *, as_json: bool) -> Desk:
    from fleet_server.client import FleetClient
    from fleet_server.terminal.screen import Screen
    from signing.session import connect

    client = FleetClient(connect(server=server, token_file=token_file, home=Path.home()))
    return Desk(client=client, screen=Screen(out=sys.stdout, is_terminal=sys.stdout.isatty()), as_json=as_json)
